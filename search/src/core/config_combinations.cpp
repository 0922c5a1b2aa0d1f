#include "core/config_combinations.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>

namespace dnas::search {

namespace {

/// Whether a setting names one of these parts.
bool is(const std::string& setting, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, parse_part(setting).name) != names.end();
}

struct Rule {
  std::vector<std::string_view> settings;  ///< that do not go together; the message begins with their values
  bool (*broken)(const SearchConfig&);
  std::string_view why;  ///< and what to do
};

const std::vector<Rule>& rules() {
  static const std::vector<Rule> table{
      {.settings = {"relaxation", "arch_optimizer"},
       .broken =
           [](const SearchConfig& c) {
             return is(c.relaxation, {"simplex"}) && !is(c.arch_optimizer, {"exponentiated_gradient", "none"});
           },
       .why = "alpha of simplex is a distribution, which steps that add to it can make negative; set arch_optimizer to "
              "exponentiated_gradient or none"},
      {.settings = {"edge_weighting", "arch_optimizer"},
       .broken =
           [](const SearchConfig& c) {
             return is(c.edge_weighting, {"edge_simplex"}) && !is(c.arch_optimizer, {"exponentiated_gradient", "none"});
           },
       .why =
           "beta of edge_simplex is a distribution, which steps that add to it can make negative; set arch_optimizer "
           "to exponentiated_gradient or none, or edge_weighting to edge_softmax"},
      {.settings = {"arch_optimizer", "relaxation"},
       .broken =
           [](const SearchConfig& c) {
             return is(c.arch_optimizer, {"exponentiated_gradient"}) && !is(c.relaxation, {"simplex"});
           },
       .why = "exponentiated_gradient multiplies alpha, whose signs it never changes, so alpha must be a distribution; "
              "set relaxation to simplex, or arch_optimizer to adam"},
      {.settings = {"arch_optimizer", "edge_weighting"},
       .broken =
           [](const SearchConfig& c) {
             return is(c.arch_optimizer, {"exponentiated_gradient"}) && !is(c.edge_weighting, {"sum", "edge_simplex"});
           },
       .why = "exponentiated_gradient multiplies beta too, whose signs it never changes; set edge_weighting to "
              "edge_simplex or sum"},
      {.settings = {"arch_optimizer", "arch_weight_decay"},
       .broken =
           [](const SearchConfig& c) {
             return is(c.arch_optimizer, {"exponentiated_gradient"}) && c.arch_weight_decay != 0.0;
           },
       .why = "exponentiated_gradient works on distributions, whose sum cannot decay; set arch_weight_decay to 0"},
      {.settings = {"relaxation", "bilevel"},
       .broken =
           [](const SearchConfig& c) {
             return is(c.relaxation, {"gate"}) && !is(c.bilevel, {"alternating", "weights_first"});
           },
       .why = "gate runs other candidates in the architecture step than in the weight step, so each needs evaluations "
              "of its own at the present weights; set bilevel to alternating or weights_first"},
  };
  return table;
}

/// "relaxation is simplex, arch_optimizer is adam"
std::string values(const SearchConfig& config, const std::vector<std::string_view>& settings) {
  std::vector<std::string> pieces;
  for (const ConfigField& field : config_fields()) {
    if (std::ranges::find(settings, field.name) == settings.end()) continue;
    pieces.push_back(
        std::visit([&](const auto& value) { return fmt::format("{} is {}", field.name, value); }, field.get(config)));
  }
  return fmt::format("{}", fmt::join(pieces, ", "));
}

}  // namespace

std::vector<std::string> combination_problems(const SearchConfig& config) {
  std::vector<std::string> problems;
  for (const Rule& rule : rules()) {
    if (rule.broken(config)) problems.push_back(fmt::format("{}: {}", values(config, rule.settings), rule.why));
  }
  return problems;
}

}  // namespace dnas::search
