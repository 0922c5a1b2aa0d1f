#pragma once

#include "core/last_block.cuh"
#include "core/vec.cuh"

#include <cstdint>

// What the blocks of a launch computed, one part each, put together within that launch. One block would take long to
// read hundreds of parts while all others have ended; so blocks form groups of about as many members as there are
// groups, the last block of each group merges the group's parts, and the last of those merges the groups'.
namespace dnas::kernels::cuda {

/// Blocks of a group, when `blocks` add up their arrays.
[[nodiscard]] __host__ __device__ constexpr int add_group(int blocks) noexcept {
  int group = 1;
  while (group * group < blocks)
    ++group;
  return group;
}

/// Counters (last_block.cuh) that they need.
[[nodiscard]] __host__ __device__ constexpr int add_counters(int blocks) noexcept {
  return 1 + (blocks + add_group(blocks) - 1) / add_group(blocks);
}

/// Adds arrays `stride` apart, in order and in f64, and calls finish(i, Vec<4>) for each four elements.
template <int Threads, typename Finish>
__device__ __forceinline__ void add_arrays(const float* arrays, std::int64_t stride, int count, int elements,
                                           Finish&& finish) {
  for (int i = static_cast<int>(threadIdx.x) * 4; i < elements; i += Threads * 4) {
    double sum[4] = {};
#pragma unroll 8
    for (int a = 0; a < count; ++a) {
      const Vec<4> part = load<4>(arrays + a * stride + i);
#pragma unroll
      for (int j = 0; j < 4; ++j)
        sum[j] += static_cast<double>(part.lane[j]);
    }
    Vec<4> total;
#pragma unroll
    for (int j = 0; j < 4; ++j)
      total.lane[j] = static_cast<float>(sum[j]);
    finish(i, total);
  }
}

/// Called by all threads of `blocks` blocks when block number `block` has written its part. The last of each group
/// calls merge(first, members) with the numbers of the group's blocks: its result takes the place of the first one's
/// part. The last of all gets true and finds the results of all groups, `group` parts apart; it may read no part
/// before.
///
/// @param group     add_group(blocks)
/// @param counters  add_counters(blocks) of them
template <typename Merge>
[[nodiscard]] __device__ __forceinline__ bool merge_blocks(int block, int blocks, int group, unsigned* counters,
                                                           Merge&& merge) {
  const int first = block / group * group;
  const int members = blocks - first < group ? blocks - first : group;
  if (!arrives_last(counters + 1 + block / group, static_cast<unsigned>(members))) return false;
  if (members > 1) merge(first, members);
  return arrives_last(counters, static_cast<unsigned>((blocks + group - 1) / group));
}

/// Likewise, of parts that are arrays[block, elements] (elements: a multiple of 4, arrays 16-byte aligned). The block
/// that comes last calls finish(i, Vec<4>) with the sum for each four elements, and gets true. Order: members of a
/// group, then groups. The arrays are used up.
template <int Threads, typename Finish>
__device__ __forceinline__ bool add_blocks(float* arrays, int elements, int block, int blocks, int group,
                                           unsigned* counters, Finish&& finish) {
  const bool last = merge_blocks(block, blocks, group, counters, [&](int first, int members) {
    float* const mine = arrays + static_cast<std::int64_t>(first) * elements;
    add_arrays<Threads>(mine, elements, members, elements, [&](int i, const Vec<4>& sum) { store(mine + i, sum); });
  });
  if (last) {
    add_arrays<Threads>(arrays, std::int64_t{group} * elements, (blocks + group - 1) / group, elements, finish);
  }
  return last;
}

}  // namespace dnas::kernels::cuda
