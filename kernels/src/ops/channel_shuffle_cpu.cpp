#include "ops/channel_shuffle_cpu.hpp"

#include "core/blocks.hpp"
#include "core/parallel_for.hpp"

#include <algorithm>

namespace dnas::kernels::cpu {
namespace {

constexpr std::int64_t block_floats = 16384;  // of x: 64 KiB, as other kernels that do nothing but move memory

template <Write write>
void shuffle_pixels(std::int64_t groups, const TensorView& x, const TensorView& y, std::int64_t begin,
                    std::int64_t end) {
  const std::int64_t members = x.channels() / groups;
  for (std::int64_t p = begin; p < end; ++p) {
    const float* from = x.f32() + p * x.pixel_stride;
    for (std::int64_t g = 0; g < groups; ++g) {
      float* to = y.f32() + p * y.pixel_stride + g;
      for (std::int64_t j = 0; j < members; ++j, ++from, to += groups)
        *to = write == Write::accumulate ? *to + *from : *from;
    }
  }
}

}  // namespace

void channel_shuffle(const Context& ctx, std::int64_t groups, const TensorView& x, const TensorView& y, Write write) {
  if (x.elements() == 0) return;
  const Blocks blocks{x.pixels(), std::max<std::int64_t>(1, block_floats / x.channels())};
  parallel_for(ctx, blocks.count(), [&](std::int64_t i) {
    if (write == Write::accumulate) {
      shuffle_pixels<Write::accumulate>(groups, x, y, blocks.begin(i), blocks.end(i));
    } else {
      shuffle_pixels<Write::overwrite>(groups, x, y, blocks.begin(i), blocks.end(i));
    }
  });
}

}  // namespace dnas::kernels::cpu
