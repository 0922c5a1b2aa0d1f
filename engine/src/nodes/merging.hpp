#pragma once

#include <cstdint>

namespace dnas::engine {

/// Whether equal nodes of an operation that computes something in both passes become one (Op::key). A gradient never:
/// it is there to be added to.
enum class Merging : std::uint8_t { equal, never };

}  // namespace dnas::engine
