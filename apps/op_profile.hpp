#pragma once

#include "dnas/engine/run_observer.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dnas::apps {

/// Adds up the time of nodes by the kind of their operation and by pass: up to the loss, or after it.
class OpProfile final : public engine::RunObserver {
 public:
  struct Entry {
    std::string pass;  ///< "forward", "backward"
    std::string kind;
    std::int64_t calls = 0;
    double seconds = 0.0;
  };

  void run_starts(const engine::Plan& plan) override;
  void node_starts(const engine::Plan& plan, std::size_t node) override;
  void node_ends(const engine::Plan& plan, std::size_t node) override;

  /// The slowest first.
  [[nodiscard]] std::vector<Entry> entries() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Sum {
    std::int64_t calls = 0;
    Clock::duration time{};
  };

  bool after_loss_ = false;
  Clock::time_point start_;
  std::map<std::pair<bool, std::string_view>, Sum> sums_;
};

}  // namespace dnas::apps
