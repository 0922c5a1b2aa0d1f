#include "cuda_libraries/described_devices.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/conv_cudnn.hpp"
#include "support/throws.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

// Plans for devices that are only described: what cuDNN offers and what we choose, without a GPU.
namespace dnas::kernels::cuda {
namespace {

using test::message_of;
using testing::HasSubstr;

constexpr std::size_t mebibyte = std::size_t{1} << 20U;

struct Case {
  const char* name;
  Shape x;
  std::int64_t out_channels;
  Conv conv;
  std::int64_t x_stride;
  std::int64_t y_stride;
};

const Case cases[] = {
    {"CifarStem", {64, 32, 32, 3}, 48, {}, 3, 48},
    {"ImageNetStem", {128, 224, 224, 3}, 24, {3, 3, 2, 2, 1, 1}, 3, 24},
    {"Resnet", {64, 32, 32, 16}, 16, {}, 16, 16},
    {"OneBySeven", {64, 16, 16, 32}, 32, {1, 7, 1, 1, 0, 3}, 32, 32},
    {"SlicesOfWiderTensors", {64, 32, 32, 16}, 48, {}, 64, 96},
    {"OddChannels", {5, 9, 7, 5}, 11, {}, 5, 11},
};

constexpr Pass passes[] = {Pass::forward, Pass::backward_data, Pass::backward_weight};
constexpr Product products[] = {Product::tf32x3, Product::tf32, Product::bf16};

/// Views without memory.
struct Views {
  Views(const Case& c, Pass pass, Product product) {
    const DType dtype = product == Product::bf16 ? DType::bf16 : DType::f32;
    x = {nullptr, c.x, c.x_stride, dtype};
    w = {nullptr,
         {c.out_channels, c.conv.kernel_h, c.conv.kernel_w, c.x[3]},
         pass == Pass::backward_weight ? DType::f32 : dtype};
    y = {nullptr, c.conv.output_shape(c.x, c.out_channels), c.y_stride, dtype};
  }
  TensorView x, w, y;
};

ConvPlan plan_of(const CudnnDevice& device, const Case& c, Pass pass, const ConvOptions& options) {
  const Views v(c, pass, options.product);
  return {device, pass, c.conv, v.x, v.w, v.y, options};
}

class DescribedDevice : public testing::TestWithParam<test::DescribedDevice> {
 protected:
  void SetUp() override {
    try {
      device.emplace(GetParam().properties);
    } catch (const DeviceError& error) {
      GTEST_SKIP() << "this cuDNN describes devices in another way: " << error.what();
    }
  }
  std::optional<CudnnDevice> device;
};

TEST_P(DescribedDevice, HasAPlanForEveryPassAndPrecision) {
  for (const Case& c : cases) {
    for (const Pass pass : passes) {
      for (const Product product : products) {
        for (const Write write : {Write::overwrite, Write::accumulate}) {
          if (pass == Pass::forward && write == Write::accumulate) continue;
          SCOPED_TRACE(std::string(c.name) + " of " + names_of(pass)[1] + " product " +
                       std::to_string(static_cast<int>(product)));
          const std::size_t limit = 1024 * mebibyte;
          const ConvPlan plan = plan_of(*device, c, pass, {product, write, limit});
          EXPECT_LE(plan.workspace_bytes(), limit);
          EXPECT_GE(plan.engine(), 0);
        }
      }
    }
  }
}

TEST_P(DescribedDevice, ChoosesTheSameEveryTime) {
  for (const Case& c : cases) {
    for (const Pass pass : passes) {
      const ConvOptions options{Product::tf32, Write::overwrite, 64 * mebibyte};
      const ConvPlan first = plan_of(*device, c, pass, options);
      const ConvPlan second = plan_of(*device, c, pass, options);
      EXPECT_EQ(first.engine(), second.engine()) << c.name;
      EXPECT_EQ(first.workspace_bytes(), second.workspace_bytes()) << c.name;
    }
  }
}

TEST_P(DescribedDevice, KeepsWithinTheWorkspace) {
  for (const Case& c : cases) {
    for (const Pass pass : passes) {
      // Without any workspace there is always some engine for f32.
      EXPECT_EQ(plan_of(*device, c, pass, {Product::tf32, Write::overwrite, 0}).workspace_bytes(), 0U) << c.name;
    }
  }
  // dw of a bfloat16 product passes through it.
  const std::string message = message_of<UnsupportedError>([&] {
    static_cast<void>(plan_of(*device, cases[0], Pass::backward_weight, {Product::bf16, Write::overwrite, 0}));
  });
  EXPECT_THAT(message, HasSubstr("conv_backward_weight: cuDNN "));
  EXPECT_THAT(message, HasSubstr("0 bytes of workspace"));
  EXPECT_THAT(message, testing::ContainsRegex("[0-9]+ would do"));
  const ConvPlan plan =
      plan_of(*device, cases[0], Pass::backward_weight, {Product::bf16, Write::overwrite, 64 * mebibyte});
  EXPECT_GE(plan.workspace_bytes(), std::size_t{48 * 3 * 3 * 3 * 2});
}

TEST_P(DescribedDevice, WorksWithTensorsThatAreHardlyAligned) {
  alignas(16) static std::byte memory[32];
  for (const Pass pass : passes) {
    for (const Product product : products) {
      Views v(cases[4], pass, product);
      v.x.data = memory + size_of(v.x.dtype);
      v.y.data = memory + size_of(v.y.dtype);
      const ConvPlan plan(*device, pass, cases[4].conv, v.x, v.w, v.y, {product, Write::overwrite, 1024 * mebibyte});
      EXPECT_GE(plan.engine(), 0);
    }
  }
}

TEST_P(DescribedDevice, RefusesArgumentsThatAreWrong) {
  const auto message = [&](auto change, Pass pass = Pass::forward, ConvOptions options = {}) {
    Views v(cases[0], pass, options.product);
    Conv conv = cases[0].conv;
    change(v, conv);
    try {
      const ConvPlan plan(*device, pass, conv, v.x, v.w, v.y, options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message([](Views& v, Conv&) {
                v.y.shape = {64, 32, 32, 47};
              }),
              HasSubstr("conv_forward: y is [64, 32, 32, 47], expected [64, 32, 32, 48]"));
  EXPECT_THAT(message(
                  [](Views& v, Conv&) {
                    v.w = TensorView(nullptr, {48, 3, 3, 4});
                  },
                  Pass::backward_data),
              HasSubstr("conv_backward_data: w is [48, 3, 3, 4], expected [48, 3, 3, 3]"));
  EXPECT_THAT(message([](Views& v, Conv&) { v.w.shape = {48, 27}; }), HasSubstr("expected a tensor of rank 4"));
  EXPECT_THAT(message([](Views& v, Conv&) { v.w.pixel_stride = 4; }), HasSubstr("expected it dense"));
  EXPECT_THAT(message([](Views& v, Conv&) { v.x.pixel_stride = 2; }), HasSubstr("conv_forward: x has pixel stride 2"));
  EXPECT_THAT(message([](Views& v, Conv&) { v.x.dtype = DType::bf16; }),
              HasSubstr("conv_forward: x is bf16, expected f32"));
  EXPECT_THAT(message([](Views& v, Conv&) { v.w.dtype = DType::bf16; }, Pass::backward_weight, {Product::bf16}),
              HasSubstr("conv_backward_weight: dw is bf16, expected f32"));
  EXPECT_THAT(message([](Views&, Conv& conv) { conv.stride_h = 0; }), HasSubstr("conv: stride_h is 0"));
  EXPECT_THAT(message([](Views&, Conv&) {}, Pass::forward, {Product::tf32, Write::accumulate}),
              HasSubstr("conv_forward: write is accumulate"));
}

TEST_P(DescribedDevice, RunRefusesViewsThatWereNotPlanned) {
  const ConvPlan plan = plan_of(*device, cases[0], Pass::forward, {Product::tf32, Write::overwrite, 64 * mebibyte});
  alignas(256) static std::byte memory[256];
  const auto message = [&](auto change) {
    Views v(cases[0], Pass::forward, Product::tf32);
    v.x.data = v.w.data = v.y.data = memory;
    std::span<std::byte> workspace(memory, plan.workspace_bytes());
    change(v, workspace);
    // Nothing reads the memory: a plan without a device cannot get further than the checks.
    try {
      plan.run(nullptr, v.x, v.w, v.y, workspace, nullptr);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message([](Views& v, auto&) { v.x.shape = {63, 32, 32, 3}; }), HasSubstr("conv_forward: x is [63"));
  EXPECT_THAT(message([](Views& v, auto&) { v.y.pixel_stride = 96; }),
              HasSubstr("conv_forward: y has pixel stride 96, planned with 48"));
  EXPECT_THAT(message([](Views& v, auto&) { v.w.data = memory + 4; }),
              HasSubstr("conv_forward: w is aligned to 4 bytes, planned with 16"));
  EXPECT_THAT(message([](Views& v, auto&) { v.y.data = nullptr; }), HasSubstr("conv_forward: y has no data"));
  ASSERT_GT(plan.workspace_bytes(), 0U);
  using Workspace = std::span<std::byte>;
  EXPECT_THAT(message([](Views&, Workspace& workspace) { workspace = workspace.first(workspace.size() - 1); }),
              HasSubstr("conv_forward: workspace has "));
  EXPECT_THAT(message([](Views&, Workspace& workspace) {
                workspace = {memory + 64, workspace.size()};
              }),
              HasSubstr("conv_forward: workspace is not aligned to 256 bytes"));
  EXPECT_THAT(message([](Views&, auto&) {}), HasSubstr("CUDNN_STATUS_")) << "a run without a handle";
}

INSTANTIATE_TEST_SUITE_P(, DescribedDevice, testing::ValuesIn(test::described_devices),
                         [](const auto& described) { return described.param.name; });

TEST(ConvEngine, SuitsByItsNotes) {
  using Notes = std::vector<cudnnBackendNumericalNote_t>;
  for (const Product product : products) {
    EXPECT_TRUE(engine_suits({}, product));
    EXPECT_TRUE(engine_suits(Notes{CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}, product));
    EXPECT_EQ(engine_suits(Notes{CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, product), product != Product::tf32x3);
    for (const auto bad :
         {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
          CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_FFT}) {
      EXPECT_FALSE(engine_suits(Notes{CUDNN_NUMERICAL_NOTE_TENSOR_CORE, bad}, product)) << bad;
      EXPECT_FALSE(engine_suits(Notes{bad}, product)) << bad;
    }
  }
}

}  // namespace
}  // namespace dnas::kernels::cuda
