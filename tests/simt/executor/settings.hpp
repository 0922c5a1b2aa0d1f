#pragma once

#include "simt/executor.hpp"

#include <cstddef>
#include <cstdint>

namespace dnas::simt {

/// What executor.hpp lets a test set; a launch takes a copy.
struct Settings {
  Schedule schedule = Schedule::ascending;
  std::uint64_t seed = 1;
  unsigned workers = 1;
  bool strict_return = false;
};

[[nodiscard]] Settings current_settings();

}  // namespace dnas::simt
