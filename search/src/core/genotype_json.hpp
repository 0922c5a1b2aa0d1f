#pragma once

#include "dnas/search/genotype.hpp"

#include <string_view>

namespace dnas::search {

/// Reads the JSON form. Checks keys and types, not whether the cells make sense.
/// @throws DataError with the byte or the path, and what was expected
[[nodiscard]] Genotype parse_genotype_json(std::string_view text);

}  // namespace dnas::search
