#pragma once

#include "dnas/kernels/draws.hpp"
#include "dnas/kernels/rng.hpp"

#include <cstdint>
#include <string_view>

// What the host versions of random operations share.
namespace dnas::kernels {

/// Checks the arguments of a tensor of `elements` elements. @throws ShapeError, DtypeError, ConfigError
void check_draws(std::string_view operation, const Draws& draws, std::int64_t elements);

/// The generator of this step.
[[nodiscard]] inline Philox generator(const Draws& draws) {
  const std::int64_t* key = draws.random.i64();
  return Philox(static_cast<std::uint64_t>(key[0]), Stream::network, static_cast<std::uint32_t>(key[1]));
}

/// The position of the operation's first element.
[[nodiscard]] inline std::uint64_t first_position(const Draws& draws) {
  return static_cast<std::uint64_t>(draws.site) * static_cast<std::uint64_t>(max_site_elements);
}

}  // namespace dnas::kernels
