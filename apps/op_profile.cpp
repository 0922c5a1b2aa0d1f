#include "op_profile.hpp"

#include "dnas/engine/plan.hpp"

#include <algorithm>

namespace dnas::apps {

void OpProfile::run_starts(const engine::Plan& /*plan*/) {
  after_loss_ = false;
}

void OpProfile::node_starts(const engine::Plan& /*plan*/, std::size_t /*node*/) {
  start_ = Clock::now();
}

void OpProfile::node_ends(const engine::Plan& plan, std::size_t node) {
  const Clock::duration time = Clock::now() - start_;
  const std::string_view kind = plan.graph().nodes()[node].op->kind();  // of a literal
  Sum& sum = sums_[{after_loss_, kind}];
  ++sum.calls;
  sum.time += time;
  // Gradients are appended to the finished forward graph, which ends with the loss.
  if (kind == "cross_entropy") after_loss_ = true;
}

std::vector<OpProfile::Entry> OpProfile::entries() const {
  std::vector<Entry> entries;
  for (const auto& [key, sum] : sums_) {
    entries.push_back({key.first ? "backward" : "forward", std::string(key.second), sum.calls,
                       std::chrono::duration<double>(sum.time).count()});
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.seconds > b.seconds; });
  return entries;
}

}  // namespace dnas::apps
