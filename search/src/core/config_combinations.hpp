#pragma once

#include "dnas/search/config.hpp"

#include <string>
#include <vector>

namespace dnas::search {

/// Every reason why settings of a configuration do not go together, one message each: their values, why, and what to
/// do. Each part must be there by itself.
[[nodiscard]] std::vector<std::string> combination_problems(const SearchConfig& config);

}  // namespace dnas::search
