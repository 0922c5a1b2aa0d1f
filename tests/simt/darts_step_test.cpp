#include "simt/darts_step.hpp"

#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <cstddef>

namespace dnas::simt {
namespace {

DartsStepOptions options_of(bool weight_step, DType dtype) {
  DartsStepOptions options;
  options.weight_step = weight_step;
  options.dtype = dtype;
  if (dtype == DType::bf16) options.product = kernels::cuda::Product::bf16;
  return options;
}

/// The launchers themselves, at the shapes of the canonical supernet: their launches are as many as were counted, and a
/// device would accept each.
TEST(DartsStep, MakesAsManyLaunchesAsCounted) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const bool weight_step : {true, false}) {
      const LaunchRecorder recorder;
      std::size_t counted = 0;
      for (const StepLaunch& launch : darts_step(options_of(weight_step, dtype))) {
        if (!launch.run) continue;
        launch.run(nullptr);
        counted += static_cast<std::size_t>(launch.cost.launches);
        ASSERT_EQ(recorder.count(), counted) << launch.operation;
      }
      EXPECT_GT(counted, 180U);  // all of the cells, but for their preprocessing
    }
  }
}

/// Numbers that a search on a GPU is planned with (docs/kernels.md).
TEST(DartsStep, StaysWithinItsLaunches) {
  for (const bool weight_step : {true, false}) {
    int launches = 0;
    for (const StepLaunch& launch : darts_step(options_of(weight_step, DType::f32)))
      launches += launch.cost.launches;
    EXPECT_LE(launches, 250);
  }
}

}  // namespace
}  // namespace dnas::simt
