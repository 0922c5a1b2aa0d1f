#pragma once

#include "dnas/engine/registry.hpp"
#include "dnas/search/config.hpp"

#include <string>

namespace dnas::search {

/// A published method: a recipe that names one part of each kind and the paper's settings.
struct Method {
  std::string name;
  std::string help;
  std::string source;
  SearchConfig defaults;
};

void register_methods(Registry<Method>& registry);
[[nodiscard]] const Registry<Method>& methods();

}  // namespace dnas::search
