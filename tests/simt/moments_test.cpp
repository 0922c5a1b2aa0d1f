#include "core/moments.cuh"
#include "core/last_block.cuh"
#include "core/launch.cuh"
#include "core/shared_memory.cuh"

#include "reference/batch_norm_ref.hpp"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 64;

/// One block per tile of up to `tile` pixels of x [pixels, channels]; statistics by the last block.
__global__ void statistics_kernel(const float* x, int pixels, int channels, int tile, Moments* moments,
                                  unsigned* counter, float* normalisation, Running running) {
  SharedMemory memory;
  auto* const scratch = memory.take<MomentSums>(threads);
  const auto pixels_of = [&](int t) { return pixels - t * tile < tile ? pixels - t * tile : tile; };
  const int mine = static_cast<int>(blockIdx.x);
  for (int c = static_cast<int>(threadIdx.x); c < channels; c += threads) {
    const float* const first = x + mine * tile * channels + c;
    float sum = 0.0F;
    float square = 0.0F;
    for (int p = 0; p < pixels_of(mine); ++p) {
      const float above = first[p * channels] - first[0];
      sum += above;
      square += above * above;
    }
    moments[mine * channels + c] = moments_about(first[0], sum, square, pixels_of(mine));
  }
  if (!arrives_last(counter, gridDim.x)) return;
  merge_moments<threads>(moments, static_cast<int>(gridDim.x), channels, channels, scratch, pixels_of,
                         [&](int channel, const BatchMoments& batch) {
                           write_normalisation(batch, 1e-5F, normalisation, channels, channel);
                           move_running(batch, 0.1F, running, channel);
                         });
}

struct Result {
  std::vector<float> normalisation;
  std::vector<float> running_mean;
  std::vector<float> running_var;
};

Result statistics(const std::vector<float>& x, int channels, int tile) {
  const int pixels = static_cast<int>(x.size()) / channels;
  const int tiles = (pixels + tile - 1) / tile;
  const auto c = static_cast<std::size_t>(channels);
  std::vector<Moments> moments(static_cast<std::size_t>(tiles) * c, {std::nanf(""), std::nanf("")});
  Result result{std::vector<float>(2 * c, std::nanf("")), std::vector<float>(c, 0.5F), std::vector<float>(c, 2.0F)};
  std::vector<unsigned> counter{0};
  launch("statistics", statistics_kernel, {static_cast<unsigned>(tiles), threads, shared_bytes<MomentSums>(threads)},
         nullptr, x.data(), pixels, channels, tile, moments.data(), counter.data(), result.normalisation.data(),
         Running{result.running_mean.data(), result.running_var.data()});
  EXPECT_EQ(counter[0], 0U);
  return result;
}

std::vector<float> sample(std::size_t count, float mean, float deviation) {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> x(count);
  for (float& value : x)
    value = normal(random);
  return x;
}

class MomentsOfTiles : public testing::TestWithParam<simt::Schedule> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
};

TEST_P(MomentsOfTiles, AgreeWithTwoPassesInDouble) {
  // Fewer, as many, and more channels than threads; a ragged last tile; one tile; one pixel.
  for (const auto& [pixels, channels, tile] :
       {std::tuple{301, 5, 16}, {64, 64, 7}, {40, 150, 9}, {33, 3, 40}, {1, 4, 8}}) {
    for (const float mean : {0.0F, -3.0F, 3000.0F}) {
      const auto x = sample(static_cast<std::size_t>(pixels * channels), mean, 1.0F);
      const auto c = static_cast<std::size_t>(channels);
      const auto truth = reference::batch_statistics(std::vector<double>(x.begin(), x.end()), c);
      const Result result = statistics(x, channels, tile);
      const double digits = std::ldexp(1.0, -24);
      for (std::size_t i = 0; i < c; ++i) {
        // Means of tiles are rounded to f32, which moves the variance by that times std.
        const double deviation = std::sqrt(truth.variance[i]);
        const double mean_error = 2.0 * digits * (1.0 + std::abs(truth.mean[i]));
        ASSERT_NEAR(result.normalisation[i], truth.mean[i], mean_error);
        const double rstd = 1.0 / std::sqrt(truth.variance[i] + 1e-5);
        // f32 sums over up to 40 pixels of a tile.
        const double error = rstd * (20.0 * digits + rstd * rstd * mean_error * (deviation + mean_error));
        ASSERT_NEAR(result.normalisation[c + i], rstd, error) << pixels << " pixels, mean " << mean;
        const double unbiased = pixels > 1 ? truth.variance[i] * pixels / (pixels - 1.0) : 0.0;
        ASSERT_NEAR(result.running_mean[i], 0.45 + 0.1 * truth.mean[i], mean_error);
        ASSERT_NEAR(result.running_var[i], 1.8 + 0.1 * unbiased, 20.0 * digits * (2.0 + unbiased) + mean_error);
      }
    }
  }
}

TEST_P(MomentsOfTiles, OfAConstantHaveNoVariance) {
  const Result result = statistics(std::vector<float>(200, 0.1F), 1, 16);
  EXPECT_EQ(result.normalisation[0], 0.1F);
  EXPECT_NEAR(result.normalisation[1], 1.0 / std::sqrt(1e-5), 1e-3);
}

TEST_P(MomentsOfTiles, KeepNaN) {
  std::vector<float> x(200, 0.1F);
  x[150] = std::numeric_limits<float>::quiet_NaN();
  const Result result = statistics(x, 2, 16);
  EXPECT_TRUE(std::isnan(result.normalisation[0]));
  EXPECT_TRUE(std::isnan(result.normalisation[2]));
  EXPECT_FALSE(std::isnan(result.normalisation[1]));
  EXPECT_FALSE(std::isnan(result.normalisation[3]));
}

INSTANTIATE_TEST_SUITE_P(TinySchedules, MomentsOfTiles, testing::ValuesIn(simt::all_schedules));

TEST(MomentsOfTilesSchedules, DoNotMatter) {
  const auto x = sample(301 * 5, 10.0F, 1.0F);
  simt::set_schedule(simt::Schedule::ascending);
  const Result first = statistics(x, 5, 16);
  simt::set_schedule(simt::Schedule::shuffled);
  EXPECT_EQ(statistics(x, 5, 16).normalisation, first.normalisation);
}

}  // namespace
}  // namespace dnas::kernels::cuda
