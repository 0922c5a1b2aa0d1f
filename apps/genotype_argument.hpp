#pragma once

#include "dnas/search/genotype.hpp"

#include <string>

namespace dnas::apps {

/// The genotype that an argument names: a published name, a file, or the text itself.
/// @throws MissingError naming the published ones if it is none of these; DataError, IoError
[[nodiscard]] search::Genotype read_genotype(const std::string& what);

}  // namespace dnas::apps
