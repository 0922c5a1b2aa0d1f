#pragma once

#include "ops/state_bundle_cuda.hpp"
#include "support/tensors.hpp"

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <vector>

// States with their candidates, as the tests of state_bundle_forward and state_bundle_backward describe them.
namespace dnas::simt {

using kernels::cuda::CandidateKind;
using test::Gap;

struct StateCandidate {
  CandidateKind kind;
  kernels::SeparableWindow window;
  std::int64_t channels;  ///< of its output
};

/// What a launch is given of one state.
struct StateCase {
  const char* name;
  Shape x;
  int stride;
  std::vector<StateCandidate> candidates;
  bool normalised = false;
  Gap x_gap = {};
  Gap y_gap = {};
  std::int64_t offset = 0;  ///< elements off a 16-byte boundary: all tensors
  float mean = 0.0F;        ///< of x, which is spread over [-1, 1] about it
};

inline std::ostream& operator<<(std::ostream& out, const StateCase& c) {
  return out << c.name << ' ' << c.x.to_string();
}

[[nodiscard]] inline std::vector<StateCandidate> separable(const std::vector<kernels::SeparableWindow>& windows,
                                                           const std::vector<std::int64_t>& channels) {
  std::vector<StateCandidate> candidates;
  for (std::size_t k = 0; k < windows.size(); ++k)
    candidates.push_back({CandidateKind::separable, windows[k], channels[k]});
  return candidates;
}

/// The windows of a DARTS edge.
inline const std::vector<kernels::SeparableWindow> darts{{3, 1, 1}, {5, 1, 2}, {3, 2, 2}, {5, 2, 4}};

[[nodiscard]] inline std::vector<StateCandidate> darts_of(std::int64_t channels) {
  return separable(darts, {channels, channels, channels, channels});
}

inline constexpr kernels::SeparableWindow pool3{3, 1, 1};

/// Every kind, as many edges and candidates of an edge would bring them, not in the kernel's order.
[[nodiscard]] inline std::vector<StateCandidate> all_kinds(std::int64_t channels, int stride) {
  const StateCandidate skip{stride == 1 ? CandidateKind::identity : CandidateKind::factorised_reduce, {}, channels};
  return {{CandidateKind::max_pool, pool3, channels},      skip,
          {CandidateKind::avg_pool, pool3, channels},      {CandidateKind::separable, {3, 1, 1}, channels},
          {CandidateKind::separable, {5, 2, 4}, channels}, {CandidateKind::max_pool, pool3, channels},
          {CandidateKind::avg_pool, pool3, channels},      skip};
}

}  // namespace dnas::simt
