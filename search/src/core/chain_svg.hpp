#pragma once

#include "dnas/search/genotype.hpp"

#include <string>
#include <string_view>

namespace dnas::search {

/// The drawing of a chain (is_chain()): its operations one below the other.
[[nodiscard]] std::string draw_chain_svg(const CellGenotype& cell, std::string_view title);

}  // namespace dnas::search
