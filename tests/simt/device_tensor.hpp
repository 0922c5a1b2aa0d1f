#pragma once

#include "dnas/kernels/dtype.hpp"
#include "dnas/kernels/rng.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "support/bf16.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace dnas::simt {

/// How a tensor lies in memory: type, channels of a wider tensor before and after its own, elements behind a 64-byte
/// boundary.
struct Layout {
  DType dtype = DType::f32;
  std::int64_t before = 0;
  std::int64_t after = 0;
  std::int64_t offset = 0;
};

/// A tensor of f32 or bf16 on the heap, for kernels. Starts as NaN, which is also what an output must be able to hold
/// before it is overwritten; so do the channels beside its own and guard bands around it, which untouched() checks.
class DeviceTensor {
 public:
  explicit DeviceTensor(const Shape& shape, const Layout& layout = {})
      : shape_(shape),
        layout_(layout),
        pixel_stride_(TensorView(nullptr, shape).channels() + layout.before + layout.after),
        size_(size_of(layout.dtype)),
        memory_(static_cast<std::size_t>(pixels() * pixel_stride_ + layout.offset) * size_ + 4 * guard,
                std::byte{0xFF}) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    first_ = (address + 2 * guard - 1) / guard * guard - address + static_cast<std::size_t>(layout.offset) * size_;
  }

  /// Uniform in [-1, 1), rounded to the type; a function of (shape, seed).
  static DeviceTensor random(const Shape& shape, std::uint64_t seed, const Layout& layout = {}) {
    DeviceTensor t(shape, layout);
    const Philox random(seed, Stream::synthetic_data);
    for (std::int64_t i = 0; i < t.size(); ++i)
      t.set(i, 2.0 * static_cast<double>(random.uniform(static_cast<std::uint64_t>(i))) - 1.0);
    return t;
  }

  static DeviceTensor filled(const Shape& shape, double value, const Layout& layout = {}) {
    DeviceTensor t(shape, layout);
    for (std::int64_t i = 0; i < t.size(); ++i)
      t.set(i, value);
    return t;
  }

  // A copy would land on another alignment.
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;
  DeviceTensor(DeviceTensor&&) noexcept = default;  // keeps its memory
  DeviceTensor& operator=(DeviceTensor&&) noexcept = default;
  ~DeviceTensor() = default;

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t size() const { return shape_.elements(); }
  [[nodiscard]] std::int64_t channels() const { return TensorView(nullptr, shape_).channels(); }
  [[nodiscard]] std::int64_t pixels() const { return TensorView(nullptr, shape_).pixels(); }

  /// A kernel takes inputs and outputs alike through a view, hence not const.
  [[nodiscard]] TensorView view() const {
    return {const_cast<std::byte*>(at(0)), shape_, pixel_stride_, layout_.dtype};
  }

  /// Element `i` in row-major order, gaps not counted.
  [[nodiscard]] double operator[](std::int64_t i) const {
    if (layout_.dtype == DType::f32) {
      float value = 0.0F;
      std::memcpy(&value, at(i), sizeof value);
      return value;
    }
    std::uint16_t bits = 0;
    std::memcpy(&bits, at(i), sizeof bits);
    return test::from_bf16(bits);
  }

  /// Rounded to the type, to nearest even.
  void set(std::int64_t i, double value) {
    const auto rounded = static_cast<float>(value);
    auto* const to = const_cast<std::byte*>(at(i));
    if (layout_.dtype == DType::f32) {
      std::memcpy(to, &rounded, sizeof rounded);
      return;
    }
    const std::uint16_t half = test::to_bf16(rounded);
    std::memcpy(to, &half, sizeof half);
  }

  [[nodiscard]] std::vector<double> doubles() const {
    std::vector<double> values(static_cast<std::size_t>(size()));
    for (std::int64_t i = 0; i < size(); ++i)
      values[static_cast<std::size_t>(i)] = (*this)[i];
    return values;
  }

  /// The whole memory: equal bytes mean bit-identical results.
  [[nodiscard]] std::span<const std::byte> bytes() const { return memory_; }
  [[nodiscard]] bool same_bits(const DeviceTensor& other) const {
    for (std::int64_t i = 0; i < size(); ++i) {
      if (std::memcmp(at(i), other.at(i), size_) != 0) return false;
    }
    return true;
  }

  /// Whether nobody wrote beside the tensor.
  [[nodiscard]] bool untouched() const {
    std::vector<bool> own(memory_.size(), false);
    for (std::int64_t i = 0; i < size(); ++i)
      std::fill_n(own.begin() + (at(i) - memory_.data()), size_, true);
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      if (!own[i] && memory_[i] != std::byte{0xFF}) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t guard = 64;

  [[nodiscard]] const std::byte* at(std::int64_t i) const {
    const std::int64_t element = i / channels() * pixel_stride_ + layout_.before + i % channels();
    return memory_.data() + first_ + static_cast<std::size_t>(element) * size_;
  }

  Shape shape_;
  Layout layout_;
  std::int64_t pixel_stride_;
  std::size_t size_;
  std::vector<std::byte> memory_;
  std::size_t first_ = 0;
};

/// The relative error of storing a value: half the distance of neighbouring values of a type near 1.
[[nodiscard]] inline double rounding(DType dtype) {
  return std::ldexp(1.0, dtype == DType::bf16 ? -8 : -24);
}

/// Largest |actual - expected|, less what storing costs, relative to the root mean square of `expected` (absolute where
/// that is 0): the norm as scale, because single elements come from sums that may cancel. Infinite if an element is NaN
/// or infinite on one side only.
[[nodiscard]] inline double max_relative_error(const DeviceTensor& actual, std::span<const double> expected) {
  double squares = 0.0;
  double worst = 0.0;
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    const double a = actual[i];
    const double e = expected[static_cast<std::size_t>(i)];
    if ((std::isnan(a) && std::isnan(e)) || (std::isinf(e) && a == e)) continue;
    if (!std::isfinite(a) || !std::isfinite(e)) return INFINITY;
    squares += e * e;
    worst = std::max(worst, std::abs(a - e) - rounding(actual.view().dtype) * std::abs(a));
  }
  const double rms = std::sqrt(squares / static_cast<double>(std::max<std::int64_t>(actual.size(), 1)));
  return rms > 0.0 ? worst / rms : worst;
}

/// Scratch of a launch on the heap: counters, which are zero before and after, then NaN, and a guard band behind it.
class DeviceScratch {
 public:
  DeviceScratch(std::size_t bytes, std::size_t counters)
      : bytes_(bytes), counters_(counters), memory_((bytes + guard) / sizeof(std::uint64_t) + 1, ~std::uint64_t{0}) {
    std::memset(memory_.data(), 0, counters * sizeof(unsigned));
  }
  [[nodiscard]] std::span<std::byte> span() { return all().first(bytes_); }
  [[nodiscard]] bool counters_are_zero() { return only(all().first(counters_ * sizeof(unsigned)), std::byte{0}); }
  /// Whether nobody wrote behind it.
  [[nodiscard]] bool untouched() { return only(all().subspan(bytes_), std::byte{0xFF}); }

 private:
  static constexpr std::size_t guard = 65536;

  [[nodiscard]] std::span<std::byte> all() { return std::as_writable_bytes(std::span(memory_)); }
  static bool only(std::span<const std::byte> bytes, std::byte value) {
    return std::all_of(bytes.begin(), bytes.end(), [=](std::byte b) { return b == value; });
  }

  std::size_t bytes_;
  std::size_t counters_;
  std::vector<std::uint64_t> memory_;
};

}  // namespace dnas::simt
