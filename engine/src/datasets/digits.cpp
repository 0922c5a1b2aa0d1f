#include "data/gzip.hpp"
#include "data/normalisation.hpp"
#include "dnas/engine/dataset.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace dnas::embedded {
extern const unsigned char digits_csv_gz[];
extern const std::size_t digits_csv_gz_bytes;
}  // namespace dnas::embedded

namespace dnas::engine::family::datasets {
namespace {

constexpr std::uint64_t csv_bytes = 264'712;
constexpr std::size_t side = 8;
constexpr std::size_t pixels_per_image = side * side;
constexpr int classes = 10;
constexpr int max_value = 16;
/// The file's order is kept: its first four fifths are for training, the rest for testing. A search splits only the
/// training part.
constexpr std::size_t train_images = 1437;

/// One row: 64 pixels, then the label.
class RowReader {
 public:
  explicit RowReader(std::string_view row) : at_(row.data()), end_(row.data() + row.size()) {}

  int next(int limit) {
    int value = -1;
    const auto [stop, error] = std::from_chars(at_, end_, value);
    if (error != std::errc{} || value < 0 || value > limit) throw DataError("digits: the embedded data are damaged");
    at_ = stop == end_ ? stop : stop + 1;  // over the comma
    return value;
  }

 private:
  const char* at_;
  const char* end_;
};

Dataset open(const DatasetOptions&) {
  const std::span compressed(embedded::digits_csv_gz, embedded::digits_csv_gz_bytes);
  const data::Bytes csv = data::inflate_exactly(compressed, csv_bytes, "digits");
  Dataset dataset;
  dataset.name = "digits";
  dataset.classes = classes;
  dataset.crop_padding = 1;
  dataset.train.image = dataset.test.image = Shape{side, side, 1};
  std::string_view rest(reinterpret_cast<const char*>(csv.data()), csv.size());
  while (!rest.empty()) {
    const std::size_t row_bytes = std::min(rest.find('\n'), rest.size());
    RowReader row(rest.substr(0, row_bytes));
    rest.remove_prefix(std::min(row_bytes + 1, rest.size()));
    ImageSet& set = dataset.train.labels.size() < train_images ? dataset.train : dataset.test;
    for (std::size_t i = 0; i < pixels_per_image; ++i) {
      const int value = row.next(max_value);
      set.pixels.push_back(static_cast<std::uint8_t>((value * 255 + max_value / 2) / max_value));
    }
    set.labels.push_back(row.next(classes - 1));
  }
  data::measure_normalisation(dataset);
  return dataset;
}

}  // namespace

void register_digits(Registry<DatasetEntry>& registry) {
  registry.add({"digits", "1,797 handwritten digits of 8x8 grey pixels, built in (1,437 to train, 360 to test)",
                "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning "
                "Repository (CC BY 4.0); file from scikit-learn (BSD-3-Clause)",
                Shape{8, 8, 1}, classes, open});
}

}  // namespace dnas::engine::family::datasets
