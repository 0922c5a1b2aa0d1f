#include "dnas/engine/registry.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>

namespace dnas {
namespace {

/// Lower case, `_` and ` ` as `-`: differences that are never meant.
std::string normalised(std::string_view name) {
  std::string result(name);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_' || c == ' ') c = '-';
  }
  return result;
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours cost 1 each.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, substituted});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    before.swap(previous);
    previous.swap(current);
  }
  return previous[b.size()];
}

}  // namespace

std::string nearest_match(std::string_view name, std::span<const std::string> candidates) {
  const std::string wanted = normalised(name);
  std::string best;
  std::size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    // One slip in three characters; more is another word.
    const std::size_t longest = std::max(wanted.size(), candidate.size());
    const std::size_t limit = longest / 3;
    // The distance is at least the difference in length: no quadratic work on absurdly long names.
    if (longest - std::min(wanted.size(), candidate.size()) > limit) continue;
    const std::size_t distance = edit_distance(wanted, normalised(candidate));
    if (distance > limit || (!best.empty() && distance >= best_distance)) continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

namespace detail {

void throw_duplicate_name(std::string_view family, std::string_view name) {
  throw Error(fmt::format("{} '{}' is registered twice; names must be unique", family, name));
}

void throw_unknown_name(std::string_view family, std::string_view name, std::span<const std::string> choices) {
  const std::string nearest = nearest_match(name, choices);
  const std::string hint = nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest);
  throw ConfigError(fmt::format("unknown {} '{}'{}; choices: {}", family, name, hint, fmt::join(choices, ", ")));
}

}  // namespace detail
}  // namespace dnas
