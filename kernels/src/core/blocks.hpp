#pragma once

#include <algorithm>
#include <cstdint>

namespace dnas::kernels {

/// [0, total) cut into blocks of `size`, the last of which may be shorter. Cut by shape only: results must not depend
/// on the number of threads.
struct Blocks {
  std::int64_t total = 0;
  std::int64_t size = 1;

  [[nodiscard]] std::int64_t count() const noexcept { return (total + size - 1) / size; }
  [[nodiscard]] std::int64_t begin(std::int64_t block) const noexcept { return block * size; }
  [[nodiscard]] std::int64_t end(std::int64_t block) const noexcept { return std::min(total, (block + 1) * size); }
};

/// At most `most` blocks of whole multiples of `size`.
[[nodiscard]] inline Blocks at_most(std::int64_t most, const Blocks& blocks) noexcept {
  const std::int64_t per_group = (blocks.count() + most - 1) / most;
  return {blocks.total, blocks.size * std::max<std::int64_t>(per_group, 1)};
}

}  // namespace dnas::kernels
