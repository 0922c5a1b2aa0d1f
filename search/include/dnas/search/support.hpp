#pragma once

#include <cstdint>
#include <vector>

namespace dnas::search {

/// Which candidates an evaluation of the supernet runs: per choice group, [edges, candidates] flags row by row. Empty:
/// all of them. What does not run has no weight, no gradient and no place in memory.
using Support = std::vector<std::vector<std::uint8_t>>;

}  // namespace dnas::search
