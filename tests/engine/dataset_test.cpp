#include "dnas/engine/dataset.hpp"

#include "dnas/kernels/error.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <array>
#include <cmath>
#include <numeric>

namespace dnas::engine {
namespace {

using test::message_of;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

/// Mean and deviation by the textbook, in double.
std::pair<double, double> moments(const std::vector<std::uint8_t>& pixels) {
  double mean = 0;
  for (const std::uint8_t value : pixels)
    mean += value / 255.0;
  mean /= static_cast<double>(pixels.size());
  double squares = 0;
  for (const std::uint8_t value : pixels)
    squares += (value / 255.0 - mean) * (value / 255.0 - mean);
  return {mean, std::sqrt(squares / static_cast<double>(pixels.size()))};
}

std::array<int, 10> counts_of(const ImageSet& set) {
  std::array<int, 10> counts{};
  for (const std::int64_t label : set.labels)
    ++counts.at(static_cast<std::size_t>(label));
  return counts;
}

TEST(Datasets, ListsWhatIsBuiltIn) {
  for (const char* name : {"cifar10", "cifar100", "digits", "fashion-mnist", "mnist", "planted"}) {
    EXPECT_THAT(datasets().names(), Contains(name));
  }
  EXPECT_THAT(message_of<ConfigError>([] { (void)datasets().at("cifr10"); }),
              AllOf(HasSubstr("unknown data set 'cifr10'"), HasSubstr("did you mean 'cifar10'")));
  for (const DatasetEntry& entry : datasets().entries()) {
    EXPECT_FALSE(entry.help.empty()) << entry.name;
    EXPECT_FALSE(entry.source.empty()) << entry.name;
  }
}

TEST(Datasets, HaveTheSizeThatTheyAnnounce) {
  for (const char* name : {"digits", "planted"}) {  // the others need files
    const DatasetEntry& entry = datasets().at(name);
    const Dataset dataset = entry.open({});
    EXPECT_EQ(dataset.train.image, entry.image) << name;
    EXPECT_EQ(dataset.classes, entry.classes) << name;
  }
  for (const char* name : {"mnist", "fashion-mnist"}) {
    EXPECT_EQ(datasets().at(name).image, (Shape{28, 28, 1}));
    EXPECT_EQ(datasets().at(name).classes, 10);
  }
}

TEST(Digits, IsTheKnownDataSet) {
  const Dataset digits = datasets().at("digits").open({});
  EXPECT_EQ(digits.name, "digits");
  EXPECT_EQ(digits.classes, 10);
  EXPECT_EQ(digits.train.size(), 1437);
  EXPECT_EQ(digits.test.size(), 360);
  EXPECT_EQ(digits.train.image, (Shape{8, 8, 1}));
  EXPECT_EQ(digits.train.pixels.size(), 1437U * 64);
  EXPECT_EQ(digits.test.pixels.size(), 360U * 64);
  EXPECT_EQ(digits.crop_padding, 1);
  EXPECT_FALSE(digits.flip);

  // The class distribution that scikit-learn documents.
  std::array<int, 10> counts = counts_of(digits.train);
  const std::array<int, 10> test_counts = counts_of(digits.test);
  for (std::size_t i = 0; i < 10; ++i)
    counts[i] += test_counts[i];
  EXPECT_EQ(counts, (std::array<int, 10>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}));
}

TEST(Digits, FirstImageIsTheZeroOfTheFile) {
  const Dataset digits = datasets().at("digits").open({});
  const std::array<int, 64> first{0, 0,  5, 13, 9,  1, 0,  0, 0,  0,  13, 15, 10, 15, 5, 0,  0,  3, 15, 2, 0,  11,
                                  8, 0,  0, 4,  12, 0, 0,  8, 8,  0,  0,  5,  8,  0,  0, 9,  8,  0, 0,  4, 11, 0,
                                  1, 12, 7, 0,  0,  2, 14, 5, 10, 12, 0,  0,  0,  0,  6, 13, 10, 0, 0,  0};
  EXPECT_EQ(digits.train.labels[0], 0);
  for (std::size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(digits.train.pixels[i], static_cast<int>(std::floor(first[i] * 255 / 16.0 + 0.5))) << i;
  }
}

TEST(Digits, IsNormalisedByItsTrainingImages) {
  const Dataset digits = datasets().at("digits").open({});
  const auto [mean, deviation] = moments(digits.train.pixels);
  ASSERT_EQ(digits.mean.size(), 1U);
  ASSERT_EQ(digits.std.size(), 1U);
  EXPECT_NEAR(digits.mean[0], mean, 1e-6);
  EXPECT_NEAR(digits.std[0], deviation, 1e-6);
}

// The lower half repeats the upper one, diagonally across: in class 0 as it is, in class 1 negated, for 85 % of the
// blocks.
TEST(Planted, ClassIsTheSignOfTheRepetition) {
  const Dataset planted = datasets().at("planted").open({.root = {}, .seed = 3});
  ASSERT_EQ(planted.classes, 2);
  ASSERT_EQ(planted.train.image, (Shape{16, 16, 1}));
  EXPECT_EQ(planted.crop_padding, 0);
  EXPECT_FALSE(planted.flip);
  for (const ImageSet* set : {&planted.train, &planted.test}) {
    std::array<std::int64_t, 2> equal{};
    std::array<std::int64_t, 2> opposite{};
    for (std::size_t n = 0; n < set->labels.size(); ++n) {
      const auto label = static_cast<std::size_t>(set->labels[n]);
      for (std::size_t y = 8; y < 16; ++y) {
        for (std::size_t x = 0; x < 16; ++x) {
          const int here = set->pixels[n * 256 + y * 16 + x];
          const int there = set->pixels[n * 256 + (y - 8) * 16 + (x + 8) % 16];
          equal.at(label) += here == there ? 1 : 0;
          opposite.at(label) += here == 255 - there ? 1 : 0;
        }
      }
    }
    const auto compared = static_cast<double>(set->labels.size() / 2 * 128);
    EXPECT_NEAR(static_cast<double>(equal[0]) / compared, 0.85, 0.015);
    EXPECT_NEAR(static_cast<double>(opposite[1]) / compared, 0.85, 0.015);
    EXPECT_LT(static_cast<double>(opposite[0]) / compared, 0.01);  // 15 % of 1 in 256
    EXPECT_LT(static_cast<double>(equal[1]) / compared, 0.01);
  }
}

TEST(Planted, DependsOnTheSeedAlone) {
  const auto open = [](std::uint64_t seed) { return datasets().at("planted").open({.root = {}, .seed = seed}); };
  const Dataset first = open(1);
  EXPECT_EQ(first.train.size(), 4000);
  EXPECT_EQ(first.test.size(), 500);
  EXPECT_EQ(first.train.pixels, open(1).train.pixels);
  EXPECT_NE(first.train.pixels, open(2).train.pixels);
  EXPECT_FALSE(std::equal(first.test.pixels.begin(), first.test.pixels.end(), first.train.pixels.begin()));
}

TEST(FashionMnist, IsTheKnownDataSet) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    GTEST_SKIP() << "Debian's package dataset-fashion-mnist is not installed";
  }
  const Dataset fashion = datasets().at("fashion-mnist").open({});
  EXPECT_EQ(fashion.train.size(), 60'000);
  EXPECT_EQ(fashion.test.size(), 10'000);
  EXPECT_EQ(fashion.train.image, (Shape{28, 28, 1}));
  std::array<int, 10> each{};
  each.fill(6000);
  EXPECT_EQ(counts_of(fashion.train), each);
  each.fill(1000);
  EXPECT_EQ(counts_of(fashion.test), each);
  EXPECT_EQ(fashion.train.labels[0], 9);  // an ankle boot
  // Mean and deviation as published with many training scripts.
  EXPECT_NEAR(fashion.mean[0], 0.2860, 5e-5);
  EXPECT_NEAR(fashion.std[0], 0.3530, 5e-5);
  EXPECT_EQ(fashion.crop_padding, 2);
  EXPECT_TRUE(fashion.flip);
}

}  // namespace
}  // namespace dnas::engine
