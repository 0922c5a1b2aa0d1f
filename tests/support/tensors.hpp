#pragma once

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/rng.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

namespace dnas::test {

/// Channels of a wider tensor that lie before and after the tensor's own in every pixel. Their values are NaN: a
/// kernel that reads them spoils its result, one that writes them is found by Tensor::gaps_untouched().
struct Gap {
  std::int64_t before = 0;
  std::int64_t after = 0;
};

/// An f32 tensor that owns its memory: dense, or, with a gap, a channel slice of a wider one. Starts as all NaN, which
/// is also what an output must be able to hold before it is overwritten. Guard bands of NaN surround the memory.
class Tensor {
 public:
  explicit Tensor(const Shape& shape, Gap gap = {})
      : shape_(shape),
        gap_(gap),
        pixel_stride_(TensorView(nullptr, shape).channels() + gap.before + gap.after),
        pixels_(TensorView(nullptr, shape).pixels()),
        buffer_(sizeof(float) * static_cast<std::size_t>(2 * guard + pixels_ * pixel_stride_)) {
    std::ranges::fill(buffer_.f32(), std::numeric_limits<float>::quiet_NaN());
  }

  /// Uniform in [-1, 1); a function of (shape, seed) only, so a slice holds the same values as a dense tensor.
  static Tensor random(const Shape& shape, std::uint64_t seed, Gap gap = {}) {
    Tensor t(shape, gap);
    const Philox random(seed, Stream::synthetic_data);
    for (std::int64_t i = 0; i < t.size(); ++i)
      t[i] = 2.0F * random.uniform(static_cast<std::uint64_t>(i)) - 1.0F;
    return t;
  }

  static Tensor filled(const Shape& shape, float value, Gap gap = {}) {
    Tensor t(shape, gap);
    for (std::int64_t i = 0; i < t.size(); ++i)
      t[i] = value;
    return t;
  }

  /// Values in row-major order.
  static Tensor of(const Shape& shape, std::span<const float> values, Gap gap = {}) {
    Tensor t(shape, gap);
    if (values.size() != static_cast<std::size_t>(t.size()))
      throw std::invalid_argument("values do not fill the shape");
    for (std::int64_t i = 0; i < t.size(); ++i)
      t[i] = values[static_cast<std::size_t>(i)];
    return t;
  }

  /// A kernel takes inputs and outputs alike through a view, hence not const; the memory is the tensor's own.
  [[nodiscard]] TensorView view() const {
    auto* first = const_cast<float*>(data()) + gap_.before;
    return {first, shape_, pixel_stride_};
  }

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t size() const { return shape_.elements(); }

  /// Element `i` in row-major order, gaps not counted.
  [[nodiscard]] float& operator[](std::int64_t i) { return data_at(i); }
  [[nodiscard]] float operator[](std::int64_t i) const { return const_cast<Tensor*>(this)->data_at(i); }

  /// All elements in row-major order, for the double-precision references.
  [[nodiscard]] std::vector<double> doubles() const {
    std::vector<double> values(static_cast<std::size_t>(size()));
    for (std::int64_t i = 0; i < size(); ++i)
      values[static_cast<std::size_t>(i)] = (*this)[i];
    return values;
  }

  /// The whole allocation, gaps and guards included: equal bytes mean bit-identical results.
  [[nodiscard]] bool same_bits(const Tensor& other) const {
    return buffer_.bytes() == other.buffer_.bytes() &&
           std::memcmp(buffer_.data(), other.buffer_.data(), buffer_.bytes()) == 0;
  }

  /// Whether nobody wrote between the pixels or beside the tensor.
  [[nodiscard]] bool gaps_untouched() const {
    const auto all = buffer_.f32();
    const auto is_nan = [](float v) { return std::isnan(v); };
    bool untouched = std::ranges::all_of(all.first(guard), is_nan) && std::ranges::all_of(all.last(guard), is_nan);
    for (std::int64_t p = 0; p < pixels_; ++p) {
      const auto pixel =
          all.subspan(static_cast<std::size_t>(guard + p * pixel_stride_), static_cast<std::size_t>(pixel_stride_));
      untouched = untouched && std::ranges::all_of(pixel.first(static_cast<std::size_t>(gap_.before)), is_nan) &&
                  std::ranges::all_of(pixel.last(static_cast<std::size_t>(gap_.after)), is_nan);
    }
    return untouched;
  }

 private:
  static constexpr std::int64_t guard = 64;  // floats: a whole vector or more, and keeps the data 64-byte aligned

  [[nodiscard]] const float* data() const { return buffer_.f32().data() + guard; }
  [[nodiscard]] float& data_at(std::int64_t i) {
    const std::int64_t channels = pixel_stride_ - gap_.before - gap_.after;
    return buffer_.f32()[static_cast<std::size_t>(guard + i / channels * pixel_stride_ + gap_.before + i % channels)];
  }

  Shape shape_;
  Gap gap_;
  std::int64_t pixel_stride_;
  std::int64_t pixels_;
  Buffer buffer_;
};

/// Largest |actual - expected| relative to the root mean square of `expected` (absolute where that is 0): the norm as
/// scale, because single elements come from sums that may cancel. Infinite if an element is NaN or
/// infinite on one side only.
inline double max_relative_error(const Tensor& actual, std::span<const double> expected) {
  if (expected.size() != static_cast<std::size_t>(actual.size())) {
    throw std::invalid_argument("expected values do not fill the tensor");
  }
  double squares = 0.0;
  double worst = 0.0;
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    const double a = actual[i];
    const double e = expected[static_cast<std::size_t>(i)];
    if ((std::isnan(a) && std::isnan(e)) || (std::isinf(e) && a == e)) continue;
    if (!std::isfinite(a) || !std::isfinite(e)) return std::numeric_limits<double>::infinity();
    squares += e * e;
    worst = std::max(worst, std::abs(a - e));
  }
  const double rms = std::sqrt(squares / static_cast<double>(std::max<std::int64_t>(actual.size(), 1)));
  return rms > 0.0 ? worst / rms : worst;
}

inline double max_relative_error(const Tensor& actual, const Tensor& expected) {
  return max_relative_error(actual, expected.doubles());
}

}  // namespace dnas::test
