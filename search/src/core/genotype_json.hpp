#pragma once

#include "dnas/search/genotype.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace dnas::search {

/// Reads the JSON forms. Checks keys and types, not whether the cells make sense.
/// @param position  of `text` in what is read, for messages
/// @throws DataError with the byte or the path, and what was expected
[[nodiscard]] Genotype parse_genotype_json(std::string_view text, std::size_t position);

/// JSON of schema 2. @param indent  of each level; -1: all on one line
[[nodiscard]] std::string genotype_json(const Genotype& genotype, int indent);

}  // namespace dnas::search
