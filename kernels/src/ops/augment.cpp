#include "dnas/kernels/augment.hpp"

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace dnas::kernels {
namespace {

/// Channels normalised per pass over the images: all of a grey, RGB or RGBA image.
constexpr std::int64_t group = 4;

/// ((v / 255) - mean) / std for every byte v, per channel of a group: 4 KiB, exact where a fused scale would round.
using Tables = std::array<std::array<float, 256>, group>;

Tables make_tables(std::span<const float> mean, std::span<const float> std) {
  Tables tables{};
  for (std::size_t c = 0; c < mean.size(); ++c) {
    for (std::size_t v = 0; v < 256; ++v) {
      const double scaled = static_cast<double>(v) / 255.0;
      tables[c][v] = static_cast<float>((scaled - static_cast<double>(mean[c])) / static_cast<double>(std[c]));
    }
  }
  return tables;
}

/// Half-open range of rows or columns.
struct Range {
  std::int64_t begin;
  std::int64_t end;
};

/// The part of [0, extent) that the cutout covers along one axis.
Range cutout_range(std::int64_t centre, std::int64_t length, std::int64_t extent) {
  const std::int64_t half = length / 2;
  return {std::clamp<std::int64_t>(centre - half, 0, extent), std::clamp<std::int64_t>(centre + half, 0, extent)};
}

/// One image, channels [first, first + count) of it.
class ImagePass {
 public:
  ImagePass(const TensorView& x, const TensorView& y, const Tables& tables, std::int64_t first, std::int64_t count)
      : x_(x),
        y_(y),
        tables_(tables),
        height_(x.shape[1]),
        width_(x.shape[2]),
        channels_(x.shape[3]),
        first_(first),
        count_(count) {}

  void run(std::int64_t image, const Augmentation& a) const {
    const std::int64_t floats = height_ * width_ * channels_;
    const std::uint8_t* from = x_.u8() + image * floats + first_;
    float* to = y_.f32() + image * floats + first_;
    for (std::int64_t row = 0; row < height_; ++row) {
      const std::int64_t source = row + a.shift_y;
      const bool inside = source >= 0 && source < height_;
      row_of(inside ? from + source * width_ * channels_ : nullptr, a, to + row * width_ * channels_);
    }
    cut_out(a, to);
  }

 private:
  /// One output row from its source row; null if that lies outside the image.
  void row_of(const std::uint8_t* source, const Augmentation& a, float* to) const {
    for (std::int64_t column = 0; column < width_; ++column, to += channels_) {
      const std::int64_t cropped = a.flip ? width_ - 1 - column : column;
      const std::int64_t source_column = cropped + a.shift_x;
      const bool inside = source != nullptr && source_column >= 0 && source_column < width_;
      for (std::int64_t c = 0; c < count_; ++c) {
        const std::uint8_t v = inside ? source[source_column * channels_ + c] : std::uint8_t{0};
        to[c] = tables_[static_cast<std::size_t>(c)][v];
      }
    }
  }

  void cut_out(const Augmentation& a, float* to) const {
    const Range rows = cutout_range(a.cutout_y, a.cutout_length, height_);
    const Range columns = cutout_range(a.cutout_x, a.cutout_length, width_);
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      for (std::int64_t column = columns.begin; column < columns.end; ++column) {
        std::fill_n(to + (row * width_ + column) * channels_, count_, 0.0F);
      }
    }
  }

  const TensorView& x_;
  const TensorView& y_;
  const Tables& tables_;
  std::int64_t height_;
  std::int64_t width_;
  std::int64_t channels_;
  std::int64_t first_;
  std::int64_t count_;
};

void check_per_channel(std::string_view name, std::size_t entries, std::int64_t channels) {
  if (entries != static_cast<std::size_t>(channels)) {
    throw ShapeError(fmt::format("augment: {} has {} entries, expected {} (one per channel)", name, entries, channels));
  }
}

}  // namespace

void augment(const Context& ctx, const TensorView& x, std::span<const Augmentation> augmentations,
             std::span<const float> mean, std::span<const float> std, const TensorView& y) {
  check::ranked("augment: x", x, 4, DType::u8);
  check::dense("augment: x", x, x.shape, DType::u8);
  check::dense("augment: y", y, x.shape);
  if (augmentations.size() != static_cast<std::size_t>(x.shape[0])) {
    throw ShapeError(fmt::format("augment: augmentations has {} entries, expected {} (one per image)",
                                 augmentations.size(), x.shape[0]));
  }
  check_per_channel("mean", mean.size(), x.channels());
  check_per_channel("std", std.size(), x.channels());
  for (std::int64_t first = 0; first < x.channels(); first += group) {
    const std::int64_t count = std::min(group, x.channels() - first);
    const auto begin = static_cast<std::size_t>(first);
    const Tables tables = make_tables(mean.subspan(begin, static_cast<std::size_t>(count)),
                                      std.subspan(begin, static_cast<std::size_t>(count)));
    const ImagePass pass(x, y, tables, first, count);
    parallel_for(ctx, x.shape[0],
                 [&](std::int64_t image) { pass.run(image, augmentations[static_cast<std::size_t>(image)]); });
  }
}

}  // namespace dnas::kernels
