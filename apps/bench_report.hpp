#pragma once

#include "machine.hpp"
#include "op_profile.hpp"

#include "dnas/search/config.hpp"
#include "dnas/search/space.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dnas::apps {

/// What `dnas bench` found.
struct BenchReport {
  /// One kind of step, measured over and over.
  struct Step {
    std::string name;
    std::vector<double> seconds;  ///< of each repetition
    // With a profile, of one step on average, measured apart from `seconds`:
    double profiled_seconds = 0.0;
    std::vector<OpProfile::Entry> profile;  ///< the last is what is done outside of nodes
  };

  search::SearchConfig config;
  search::NetworkConfig network;
  MachineInfo machine;
  int threads = 0;
  std::vector<Step> steps;
  std::size_t arena_bytes = 0;
  std::size_t peak_bytes = 0;
};

/// Middle of the values, or the mean of the two in the middle. At least one value.
[[nodiscard]] double median(std::vector<double> values);

[[nodiscard]] std::string bench_table(const BenchReport& report);
[[nodiscard]] std::string bench_json(const BenchReport& report);
/// One line per step; if there are profiles, one per step, pass and kind instead.
[[nodiscard]] std::string bench_csv(const BenchReport& report);

}  // namespace dnas::apps
