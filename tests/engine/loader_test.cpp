#include "dnas/engine/loader.hpp"

#include "dnas/kernels/error.hpp"
#include "support/allocation_count.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace dnas::engine {
namespace {

using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Images whose every pixel is the image's number, labels number modulo 5; left as they are by normalising.
Dataset numbered(std::int64_t images, std::int64_t height = 3, std::int64_t width = 2, std::int64_t channels = 2) {
  Dataset dataset;
  dataset.name = "numbered";
  dataset.classes = 5;
  dataset.train.image = Shape{height, width, channels};
  for (std::int64_t i = 0; i < images; ++i) {
    dataset.train.pixels.insert(dataset.train.pixels.end(), static_cast<std::size_t>(height * width * channels),
                                static_cast<std::uint8_t>(i));
    dataset.train.labels.push_back(i % 5);
  }
  dataset.mean.assign(static_cast<std::size_t>(channels), 0.0F);
  dataset.std.assign(static_cast<std::size_t>(channels), 1.0F);
  return dataset;
}

std::vector<std::int64_t> all_of(const Dataset& dataset) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(dataset.train.size()));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

Loader make(const Dataset& dataset, const LoaderOptions& options) {
  return {dataset, dataset.train, all_of(dataset), options};
}

/// The numbers of the images in a batch of numbered().
std::vector<std::int64_t> numbers_in(const Batch& batch) {
  std::vector<std::int64_t> numbers;
  const std::int64_t values = batch.images.elements() / batch.images.shape[0];
  for (std::int64_t i = 0; i < batch.images.shape[0]; ++i) {
    numbers.push_back(std::lround(batch.images.f32()[i * values] * 255));
    EXPECT_EQ(batch.labels.i64()[i], numbers.back() % 5);
  }
  return numbers;
}

std::vector<std::int64_t> epoch_of(Loader& loader, std::int64_t epoch) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t step = 0; step < loader.steps_per_epoch(); ++step) {
    const std::vector<std::int64_t> batch = numbers_in(loader.get(epoch, step));
    numbers.insert(numbers.end(), batch.begin(), batch.end());
  }
  return numbers;
}

/// A copy of all that a batch holds.
std::pair<std::vector<float>, std::vector<std::int64_t>> copy_of(const Batch& batch) {
  return {std::vector<float>(batch.images.f32(), batch.images.f32() + batch.images.elements()),
          std::vector<std::int64_t>(batch.labels.i64(), batch.labels.i64() + batch.labels.elements())};
}

TEST(Loader, ShowsEveryImageOncePerEpochInANewOrder) {
  const Dataset dataset = numbered(23);
  Loader loader = make(dataset, {.batch_size = 4, .seed = 1});
  EXPECT_EQ(loader.steps_per_epoch(), 6);
  std::set<std::vector<std::int64_t>> orders;
  for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
    std::vector<std::int64_t> numbers = epoch_of(loader, epoch);
    orders.insert(numbers);
    std::sort(numbers.begin(), numbers.end());
    EXPECT_EQ(numbers, all_of(dataset));
  }
  EXPECT_EQ(orders.size(), 5U);
}

TEST(Loader, KeepsTheOrderWithoutShuffling) {
  const Dataset dataset = numbered(10);
  Loader loader(dataset, dataset.train, {9, 3, 3, 0}, {.batch_size = 3, .shuffle = false});
  EXPECT_EQ(epoch_of(loader, 0), (std::vector<std::int64_t>{9, 3, 3, 0}));
  EXPECT_EQ(epoch_of(loader, 1), (std::vector<std::int64_t>{9, 3, 3, 0}));
}

TEST(Loader, LastBatchIsSmallerOrLeftOut) {
  const Dataset dataset = numbered(10);
  Loader all = make(dataset, {.batch_size = 4});
  EXPECT_EQ(all.steps_per_epoch(), 3);
  EXPECT_EQ(all.get(0, 0).images.shape, (Shape{4, 3, 2, 2}));
  EXPECT_EQ(all.get(0, 2).images.shape, (Shape{2, 3, 2, 2}));
  EXPECT_EQ(all.get(0, 2).labels.shape, (Shape{2}));
  Loader full = make(dataset, {.batch_size = 4, .drop_last = true});
  EXPECT_EQ(full.steps_per_epoch(), 2);
  EXPECT_EQ(epoch_of(full, 0).size(), 8U);
  EXPECT_EQ(make(dataset, {.batch_size = 64}).get(0, 0).images.shape, (Shape{10, 3, 2, 2}));
}

TEST(Loader, ABatchDependsOnEpochAndStepOnly) {
  Dataset dataset = numbered(30, 6, 5, 3);
  for (std::size_t i = 0; i < dataset.train.pixels.size(); ++i)
    dataset.train.pixels[i] = static_cast<std::uint8_t>(i % 249);
  dataset.crop_padding = 2;
  dataset.flip = true;
  const LoaderOptions options{.batch_size = 7, .augment = true, .cutout_length = 2, .seed = 5};
  Loader in_order = make(dataset, options);
  std::map<std::pair<std::int64_t, std::int64_t>, std::pair<std::vector<float>, std::vector<std::int64_t>>> batches;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    for (std::int64_t step = 0; step < 5; ++step)
      batches[{epoch, step}] = copy_of(in_order.get(epoch, step));
  }
  Loader any_order = make(dataset, options);
  for (std::int64_t i = 0; i < 45; ++i) {
    const std::int64_t key = i * 7 % 15;  // jumps to and fro, through every batch three times
    EXPECT_EQ(copy_of(any_order.get(key / 5, key % 5)), (batches[{key / 5, key % 5}])) << key;
  }
  EXPECT_EQ(copy_of(any_order.get(2, 4)), copy_of(any_order.get(2, 4)));  // the same one twice
}

TEST(Loader, SeedAndStreamChangeTheOrder) {
  const Dataset dataset = numbered(23);
  std::set<std::vector<std::int64_t>> orders;
  for (const std::uint64_t seed : {0ULL, 1ULL, 1ULL << 40}) {
    for (const Stream stream : {Stream::data_order, Stream::arch_data_order}) {
      Loader loader = make(dataset, {.batch_size = 23, .seed = seed, .order_stream = stream});
      orders.insert(epoch_of(loader, 0));
    }
  }
  EXPECT_EQ(orders.size(), 6U);
}

TEST(Loader, AllPermutationsAreEquallyLikely) {
  const Dataset dataset = numbered(3, 1, 1, 1);
  Loader loader = make(dataset, {.batch_size = 3, .seed = 3});
  std::map<std::vector<std::int64_t>, int> counts;
  for (std::int64_t epoch = 0; epoch < 6000; ++epoch)
    ++counts[numbers_in(loader.get(epoch, 0))];
  ASSERT_EQ(counts.size(), 6U);
  // Expected 1000 each with a deviation of 29.
  for (const auto& [order, count] : counts)
    EXPECT_NEAR(count, 1000, 5 * 29);
}

TEST(Loader, IndependentBatchesAreFullAndRepeatNoImage) {
  const Dataset dataset = numbered(10);
  Loader loader = make(dataset, {.batch_size = 4, .independent = true, .seed = 6});
  EXPECT_EQ(loader.steps_per_epoch(), 3);
  std::set<std::vector<std::int64_t>> batches;
  for (const std::int64_t step : {0LL, 1LL, 2LL, 3LL, 4LL, 1000LL, 1LL << 40}) {
    const std::vector<std::int64_t> numbers = numbers_in(loader.get(0, step));
    EXPECT_EQ(numbers.size(), 4U);
    EXPECT_EQ(std::set(numbers.begin(), numbers.end()).size(), 4U);
    batches.insert(numbers);
  }
  EXPECT_EQ(batches.size(), 7U);
  Loader small = make(dataset, {.batch_size = 64, .independent = true});
  std::vector<std::int64_t> numbers = numbers_in(small.get(0, 5));
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(numbers, all_of(dataset));
}

TEST(Loader, AnIndependentBatchDependsOnEpochAndStepOnly) {
  Dataset dataset = numbered(30, 6, 5, 3);
  dataset.crop_padding = 2;
  dataset.flip = true;
  const LoaderOptions options{.batch_size = 7, .independent = true, .augment = true, .cutout_length = 2, .seed = 5};
  Loader in_order = make(dataset, options);
  std::map<std::pair<std::int64_t, std::int64_t>, std::pair<std::vector<float>, std::vector<std::int64_t>>> batches;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    for (std::int64_t step = 0; step < 8; ++step)
      batches[{epoch, step}] = copy_of(in_order.get(epoch, step));
  }
  Loader any_order = make(dataset, options);
  for (std::int64_t i = 0; i < 48; ++i) {
    const std::int64_t key = i * 7 % 24;
    EXPECT_EQ(copy_of(any_order.get(key / 8, key % 8)), (batches[{key / 8, key % 8}])) << key;
  }
  std::set<std::pair<std::vector<float>, std::vector<std::int64_t>>> different;
  for (const auto& [key, batch] : batches)
    different.insert(batch);
  EXPECT_EQ(different.size(), batches.size());
}

TEST(Loader, IndependentDrawsAreUniform) {
  const Dataset dataset = numbered(5, 1, 1, 1);
  Loader loader = make(dataset, {.batch_size = 2, .independent = true, .seed = 9});
  std::map<std::vector<std::int64_t>, int> counts;  // ordered pairs: 20 of them
  constexpr int draws = 10'000;
  for (std::int64_t i = 0; i < draws; ++i)
    ++counts[numbers_in(loader.get(i % 2, i / 2))];
  ASSERT_EQ(counts.size(), 20U);
  // Expected 500 each with a deviation of 22.
  for (const auto& [pair, count] : counts)
    EXPECT_NEAR(count, draws / 20, 5 * 22) << pair[0] << ' ' << pair[1];
}

TEST(Loader, IndependentDrawsComeFromTheGivenImages) {
  const Dataset dataset = numbered(20);
  Loader loader(dataset, dataset.train, {3, 5, 7, 11}, {.batch_size = 2, .independent = true});
  EXPECT_EQ(loader.images(), 4);
  std::set<std::int64_t> seen;
  for (std::int64_t step = 0; step < 60; ++step) {
    for (const std::int64_t number : numbers_in(loader.get(0, step)))
      seen.insert(number);
  }
  EXPECT_EQ(seen, (std::set<std::int64_t>{3, 5, 7, 11}));
}

TEST(Loader, TellsTheBatchSizesOfTheFirstSteps) {
  const Dataset dataset = numbered(10);
  using Sizes = std::vector<std::int64_t>;
  for (std::int64_t batch_size = 1; batch_size <= 12; ++batch_size) {
    for (const bool drop_last : {false, true}) {
      if (drop_last && batch_size > 10) continue;
      Loader loader = make(dataset, {.batch_size = batch_size, .drop_last = drop_last});
      Sizes seen;  // in the order they come
      for (std::int64_t step = 0; step < loader.steps_per_epoch(); ++step) {
        const std::int64_t size = loader.get(0, step).images.shape[0];
        if (seen.empty() || seen.back() != size) seen.push_back(size);
        EXPECT_EQ(loader.batch_sizes(step + 1), seen) << batch_size << ' ' << step;
      }
      EXPECT_EQ(loader.batch_sizes(1000), seen);
    }
  }
  EXPECT_EQ(make(dataset, {.batch_size = 4, .independent = true}).batch_sizes(1000), Sizes{4});
  EXPECT_EQ(make(dataset, {.batch_size = 64, .independent = true}).batch_sizes(1), Sizes{10});
}

TEST(Loader, NormalisesWithTheDataSetsNumbers) {
  Dataset dataset = numbered(1, 1, 1, 2);
  dataset.train.pixels = {51, 255};
  dataset.mean = {0.5F, 0.25F};
  dataset.std = {0.5F, 2.0F};
  Loader loader = make(dataset, {.batch_size = 1});
  const auto [images, labels] = copy_of(loader.get(0, 0));
  EXPECT_NEAR(images[0], (0.2 - 0.5) / 0.5, 1e-6);
  EXPECT_NEAR(images[1], (1.0 - 0.25) / 2.0, 1e-6);
}

TEST(Loader, CropsAreUniformAndWithoutAugmentAbsent) {
  Dataset dataset = numbered(1, 5, 5, 1);
  dataset.train.pixels.assign(25, 0);
  dataset.train.pixels[12] = 255;  // a bright point in the middle shows the shift
  dataset.crop_padding = 1;
  Loader loader = make(dataset, {.batch_size = 1, .augment = true, .seed = 8});
  std::map<std::ptrdiff_t, int> places;
  for (std::int64_t epoch = 0; epoch < 4500; ++epoch) {
    const auto [images, labels] = copy_of(loader.get(epoch, 0));
    ASSERT_EQ(std::count(images.begin(), images.end(), 1.0F), 1);
    ++places[std::find(images.begin(), images.end(), 1.0F) - images.begin()];
  }
  ASSERT_EQ(places.size(), 9U);
  // Expected 500 each with a deviation of 21.
  for (const std::ptrdiff_t place : {6, 7, 8, 11, 12, 13, 16, 17, 18})
    EXPECT_NEAR(places[place], 500, 5 * 21);

  Loader plain = make(dataset, {.batch_size = 1, .cutout_length = 4, .seed = 8});
  for (std::int64_t epoch = 0; epoch < 20; ++epoch)
    EXPECT_EQ(plain.get(epoch, 0).images.f32()[12], 1.0F);
}

TEST(Loader, HalfOfTheImagesAreMirrored) {
  Dataset dataset = numbered(1, 1, 2, 1);
  dataset.train.pixels = {0, 255};
  dataset.flip = true;
  Loader loader = make(dataset, {.batch_size = 1, .augment = true, .seed = 2});
  int mirrored = 0;
  for (std::int64_t epoch = 0; epoch < 2000; ++epoch)
    mirrored += loader.get(epoch, 0).images.f32()[0] == 1.0F ? 1 : 0;
  EXPECT_NEAR(mirrored, 1000, 5 * 23);  // the deviation is 22.4
  dataset.flip = false;
  Loader never = make(dataset, {.batch_size = 1, .augment = true, .seed = 2});
  for (std::int64_t epoch = 0; epoch < 20; ++epoch)
    EXPECT_EQ(never.get(epoch, 0).images.f32()[0], 0.0F);
}

TEST(Loader, CutoutCentresAreUniform) {
  Dataset dataset = numbered(1, 4, 3, 1);
  dataset.train.pixels.assign(12, 255);
  Loader loader = make(dataset, {.batch_size = 1, .augment = true, .cutout_length = 2, .seed = 4});
  std::map<std::ptrdiff_t, int> hits;  // how often each pixel is cut out
  constexpr int draws = 6000;
  for (std::int64_t epoch = 0; epoch < draws; ++epoch) {
    const auto [images, labels] = copy_of(loader.get(epoch, 0));
    for (std::ptrdiff_t i = 0; i < 12; ++i)
      hits[i] += images[static_cast<std::size_t>(i)] == 0.0F ? 1 : 0;
  }
  // A centre (y, x) covers rows y-1 and y, columns x-1 and x: a pixel is hit by those centres of the 12 in reach.
  for (std::ptrdiff_t y = 0; y < 4; ++y) {
    for (std::ptrdiff_t x = 0; x < 3; ++x) {
      const double centres = (y + 1 < 4 ? 2 : 1) * (x + 1 < 3 ? 2 : 1);
      EXPECT_NEAR(hits[y * 3 + x], draws * centres / 12, 5 * std::sqrt(draws * 0.25)) << y << ' ' << x;
    }
  }
}

TEST(Loader, AllocatesNothingAfterItsConstruction) {
  Dataset dataset = numbered(40, 8, 8, 3);
  dataset.crop_padding = 1;
  Loader loader = make(dataset, {.batch_size = 16, .augment = true, .cutout_length = 2});
  EXPECT_GE(loader.bytes(), 2 * 16 * (8 * 8 * 3 * sizeof(float) + sizeof(std::int64_t)));
  (void)loader.get(0, 0);
  const std::int64_t before = test::allocations();
  for (std::int64_t i = 0; i < 30; ++i)
    (void)loader.get(i / 3, i % 3);
  (void)loader.get(3, 1);
  EXPECT_EQ(test::allocations(), before);
}

TEST(Loader, AnErrorInTheThreadSurfacesInGetAndIsForgotten) {
  Dataset dataset = numbered(10);
  Loader loader = make(dataset, {.batch_size = 4});
  dataset.mean.clear();  // now preparing fails
  EXPECT_THROW((void)loader.get(0, 0), ShapeError);
  EXPECT_THROW((void)loader.get(0, 0), ShapeError);
  dataset.mean.assign(2, 0.0F);
  EXPECT_EQ(loader.get(0, 0).images.shape[0], 4);
}

TEST(Loader, EndsAndMovesAtAnyTime) {
  const Dataset dataset = numbered(50, 16, 16, 3);
  for (int i = 0; i < 50; ++i)
    make(dataset, {.batch_size = 50});
  for (int i = 0; i < 50; ++i)
    (void)make(dataset, {.batch_size = 25}).get(i, 0);  // ends while preparing the next
  Loader loader = make(dataset, {.batch_size = 25, .shuffle = false});
  (void)loader.get(0, 0);
  Loader moved = std::move(loader);
  EXPECT_EQ(numbers_in(moved.get(0, 1)).front(), 25);
  moved = make(dataset, {.batch_size = 10, .shuffle = false});
  EXPECT_EQ(numbers_in(moved.get(7, 4)).front(), 40);
}

TEST(Loader, RefusesBadArguments) {
  Dataset dataset = numbered(10);
  const auto config = [&](const LoaderOptions& options, std::vector<std::int64_t> indices) {
    return message_of<ConfigError>([&] { Loader(dataset, dataset.train, indices, options); });
  };
  EXPECT_THAT(config({.batch_size = 0}, {1}), HasSubstr("batch size: expected at least 1, got 0"));
  EXPECT_THAT(config({}, {}), HasSubstr("no images"));
  EXPECT_THAT(config({.batch_size = 3, .drop_last = true}, {1, 2}), HasSubstr("2 images do not fill one batch of 3"));
  EXPECT_THAT(config({.cutout_length = -1}, {1}), HasSubstr("cutout length"));
  EXPECT_THAT(config({.cutout_length = 40'000}, {1}), HasSubstr("cutout length"));
  EXPECT_THAT(config({}, {0, 10}), HasSubstr("index 10 is not in [0, 10)"));
  EXPECT_THAT(config({}, {-1}), HasSubstr("index -1"));

  Loader loader = make(dataset, {.batch_size = 5});
  EXPECT_THAT(message_of<ConfigError>([&] { (void)loader.get(0, 2); }), HasSubstr("step 2 is not in [0, 2)"));
  EXPECT_THROW((void)loader.get(0, -1), ConfigError);
  EXPECT_THROW((void)loader.get(-1, 0), ConfigError);
  EXPECT_THROW((void)loader.get(1LL << 32, 0), ConfigError);
  EXPECT_NO_THROW((void)loader.get((1LL << 32) - 1, 1));

  Loader independent = make(dataset, {.batch_size = 5, .independent = true});
  EXPECT_THROW((void)independent.get(0, -1), ConfigError);
  constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
  EXPECT_THAT(message_of<ConfigError>([&] { (void)independent.get(0, last / 5); }), HasSubstr("do not fit 64 bits"));
  EXPECT_NO_THROW((void)independent.get(0, last / 5 - 2));
}

TEST(Loader, RefusesAnInconsistentDataSet) {
  const auto refusal = [](const Dataset& dataset) {
    return message_of<DataError>([&] { Loader(dataset, dataset.train, {0}, {}); });
  };
  Dataset dataset = numbered(3);
  dataset.train.pixels.pop_back();
  EXPECT_THAT(refusal(dataset), HasSubstr("35 pixel values do not make 3 images"));
  dataset = numbered(3);
  dataset.mean.pop_back();
  EXPECT_THAT(refusal(dataset), HasSubstr("1 means and 2 deviations"));
  dataset = numbered(3);
  dataset.train.labels[0] = 5;
  EXPECT_THAT(refusal(dataset), AllOf(HasSubstr("image 0"), HasSubstr("label 5, expected 0 to 4")));
  dataset = numbered(3);
  dataset.train.image = Shape{12};
  EXPECT_THAT(refusal(dataset), HasSubstr("[height, width, channels]"));
}

}  // namespace
}  // namespace dnas::engine
