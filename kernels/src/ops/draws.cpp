#include "ops/draws.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <limits>

namespace dnas::kernels {

void check_draws(std::string_view operation, const Draws& draws, std::int64_t elements) {
  check::dense({operation, "random"}, draws.random, Shape{2}, DType::i64);
  const std::int64_t step = draws.random.i64()[1];
  constexpr std::int64_t last = std::numeric_limits<std::uint32_t>::max();
  if (step < 0 || step > last) {
    throw ConfigError(fmt::format("{}: the step in random[1] is {}, expected 0 to {}", operation, step, last));
  }
  if (draws.site < 0 || draws.site >= max_sites) {
    throw ConfigError(fmt::format("{}: site is {}, expected 0 to {}", operation, draws.site, max_sites - 1));
  }
  if (elements > max_site_elements) {
    throw ShapeError(
        fmt::format("{}: {} elements to draw for, expected at most {}", operation, elements, max_site_elements));
  }
}

}  // namespace dnas::kernels
