#include "core/partial_sums.hpp"

#include "core/blocks.hpp"
#include "core/parallel_for.hpp"
#include "core/simd.hpp"

#include <algorithm>
#include <array>

namespace dnas::kernels {

namespace {

constexpr std::int64_t piece = 512;  // elements summed at a time, in the first-level cache

DNAS_MULTIVERSION
void add_piece(const float* partials, std::int64_t count, std::int64_t elements, std::int64_t length, Write write,
               float* sum) {
  std::array<float, piece> total;
  std::copy_n(partials, length, total.data());
  for (std::int64_t i = 1; i < count; ++i) {
    const float* partial = partials + i * elements;
    for (std::int64_t j = 0; j < length; ++j)
      total[static_cast<std::size_t>(j)] += partial[j];
  }
  if (write == Write::accumulate) {
    for (std::int64_t j = 0; j < length; ++j)
      sum[j] += total[static_cast<std::size_t>(j)];
  } else {
    std::copy_n(total.data(), length, sum);
  }
}

}  // namespace

void add_partials(const Context& ctx, const float* partials, std::int64_t count, std::int64_t elements, Write write,
                  float* sum) {
  const Blocks pieces{elements, piece};
  parallel_for(ctx, pieces.count(), [&](std::int64_t i) {
    const std::int64_t j = pieces.begin(i);
    add_piece(partials + j, count, elements, pieces.end(i) - j, write, sum + j);
  });
}

}  // namespace dnas::kernels
