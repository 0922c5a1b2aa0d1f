#include "dnas/kernels/channel_shuffle.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/channel_shuffle_cpu.hpp"

#include <fmt/format.h>

namespace dnas::kernels {

void channel_shuffle(const Context& ctx, std::int64_t groups, const TensorView& x, const TensorView& y, Write write) {
  check::ranked("channel_shuffle: x", x, 4);
  check::shaped("channel_shuffle: y", y, x.shape);
  if (groups < 1 || x.channels() % groups != 0) {
    throw ShapeError(
        fmt::format("channel_shuffle: x has {} channels, expected a multiple of the {} groups", x.channels(), groups));
  }
  cpu::channel_shuffle(ctx, groups, x, y, write);
}

}  // namespace dnas::kernels
