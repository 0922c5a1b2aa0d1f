#include "ops/linear_cpu.hpp"

#include "core/blocks.hpp"
#include "core/gemm.hpp"
#include "core/parallel_for.hpp"

#include <algorithm>

namespace dnas::kernels::cpu {

namespace {

// Samples, or rows of dw, of one block: a classifier's batch makes two, its ten classes one.
constexpr std::int64_t block_rows = 32;

// The columns' sums of dy[:, begin..end), sample by sample.
void sum_columns(const TensorView& dy, std::int64_t begin, std::int64_t end, float* sums) {
  std::fill(sums + begin, sums + end, 0.0F);
  for (std::int64_t sample = 0; sample < dy.shape[0]; ++sample) {
    const float* row = dy.f32() + sample * dy.pixel_stride;
    for (std::int64_t j = begin; j < end; ++j)
      sums[j] += row[j];
  }
}

}  // namespace

void linear_forward(const Context& ctx, const TensorView& x, const TensorView& w, const TensorView& b,
                    const TensorView& y) {
  const std::int64_t inputs = w.shape[1];
  const std::int64_t outputs = w.shape[0];
  const Blocks blocks{x.shape[0], block_rows};
  parallel_for(ctx, blocks.count(), [&](std::int64_t i) {
    float* result = y.f32() + blocks.begin(i) * outputs;
    const std::int64_t samples = blocks.end(i) - blocks.begin(i);
    if (b) {
      for (std::int64_t sample = 0; sample < samples; ++sample)
        std::copy_n(b.f32(), outputs, result + sample * outputs);
    }
    const Gemm product{.m = samples,
                       .n = outputs,
                       .k = inputs,
                       .lda = inputs,
                       .ldb = inputs,
                       .ldc = outputs,
                       .trans_b = true,
                       .write = b ? Write::accumulate : Write::overwrite};
    gemm(product, x.f32() + blocks.begin(i) * inputs, w.f32(), result);
  });
}

void linear_backward_data(const Context& ctx, const TensorView& dy, const TensorView& w, const TensorView& dx,
                          Write write) {
  const std::int64_t inputs = w.shape[1];
  const std::int64_t outputs = w.shape[0];
  const Blocks blocks{dx.shape[0], block_rows};
  parallel_for(ctx, blocks.count(), [&](std::int64_t i) {
    const Gemm product{.m = blocks.end(i) - blocks.begin(i),
                       .n = inputs,
                       .k = outputs,
                       .lda = outputs,
                       .ldb = inputs,
                       .ldc = inputs,
                       .write = write};
    gemm(product, dy.f32() + blocks.begin(i) * outputs, w.f32(), dx.f32() + blocks.begin(i) * inputs);
  });
}

void linear_backward_weight(const Context& ctx, const TensorView& x, const TensorView& dy, const TensorView& dw,
                            const TensorView& db) {
  const std::int64_t inputs = dw.shape[1];
  const std::int64_t outputs = dw.shape[0];
  // Blocks of dw's rows rather than of samples: no partial sums, hence no workspace.
  const Blocks blocks{outputs, block_rows};
  parallel_for(ctx, blocks.count(), [&](std::int64_t i) {
    const Gemm product{.m = blocks.end(i) - blocks.begin(i),
                       .n = inputs,
                       .k = x.shape[0],
                       .lda = outputs,
                       .ldb = inputs,
                       .ldc = inputs,
                       .trans_a = true};
    gemm(product, dy.f32() + blocks.begin(i), x.f32(), dw.f32() + blocks.begin(i) * inputs);
    if (db) sum_columns(dy, blocks.begin(i), blocks.end(i), db.f32());
  });
}

}  // namespace dnas::kernels::cpu
