#include "dnas/engine/dataset.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/arch_optimizer.hpp"
#include "dnas/search/bilevel_step.hpp"
#include "dnas/search/candidate.hpp"
#include "dnas/search/controller.hpp"
#include "dnas/search/discretisation.hpp"
#include "dnas/search/edge_weighting.hpp"
#include "dnas/search/genotype.hpp"
#include "dnas/search/loss_term.hpp"
#include "dnas/search/method.hpp"
#include "dnas/search/perturbation.hpp"
#include "dnas/search/relaxation.hpp"
#include "dnas/search/space.hpp"
#include "dnas/search/transform.hpp"
#include "options.hpp"
#include "usage_error.hpp"
#include "verbs.hpp"
#include "yaml_config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <variant>

namespace dnas::apps {
namespace {

using Json = nlohmann::ordered_json;
using search::Options;

constexpr const char* description =
    "Lists what there is to choose from. Without a family: everything. With --method NAME --yaml: the full settings "
    "of\n"
    "a method as a configuration file for --config.";

constexpr const char* examples =
    "Examples:\n"
    "  dnas list methods\n"
    "  dnas list candidates --json\n"
    "  dnas list --method darts-v1 --yaml > my.yaml && dnas search --config my.yaml --dry-run";

/// A member of a family as it is listed.
struct Entry {
  std::string name;
  std::string help;
  std::string source;
  Options defaults;
  std::string detail;  // instead of help, if that is empty
};

struct Family {
  std::string name;
  std::function<std::vector<Entry>()> entries;
};

template <typename Part>
std::vector<Entry> entries_of(const Registry<search::Component<Part>>& registry) {
  std::vector<Entry> entries;
  for (const search::Component<Part>& part : registry.entries())
    entries.push_back({part.name, part.help, part.source, part.defaults, {}});
  return entries;
}

std::vector<Entry> method_entries() {
  std::vector<Entry> entries;
  for (const search::Method& method : search::methods().entries())
    entries.push_back({method.name, method.help, method.source, {}, {}});
  return entries;
}

std::vector<Entry> dataset_entries() {
  std::vector<Entry> entries;
  for (const engine::DatasetEntry& dataset : engine::datasets().entries())
    entries.push_back({dataset.name, dataset.help, dataset.source, {}, {}});
  return entries;
}

std::vector<Entry> genotype_entries() {
  std::vector<Entry> entries;
  for (const std::string& name : search::published_genotype_names())
    entries.push_back({name, {}, {}, {}, search::to_text(search::published_genotype(name))});
  return entries;
}

std::vector<Family> families() {
  return {{"spaces", [] { return entries_of(search::spaces()); }},
          {"candidates", [] { return entries_of(search::candidates()); }},
          {"relaxations", [] { return entries_of(search::relaxations()); }},
          {"edge_weightings", [] { return entries_of(search::edge_weightings()); }},
          {"transforms", [] { return entries_of(search::transforms()); }},
          {"perturbations", [] { return entries_of(search::perturbations()); }},
          {"bilevel", [] { return entries_of(search::bilevel_steps()); }},
          {"arch_optimizers", [] { return entries_of(search::arch_optimizers()); }},
          {"loss_terms", [] { return entries_of(search::loss_terms()); }},
          {"controllers", [] { return entries_of(search::controllers()); }},
          {"discretisations", [] { return entries_of(search::discretisations()); }},
          {"methods", method_entries},
          {"datasets", dataset_entries},
          {"genotypes", genotype_entries}};
}

std::string value_text(const Options::Value& value) {
  return std::visit([](const auto& v) { return fmt::format("{}", v); }, value);
}

void print_family(const Family& family) {
  fmt::print("{}\n", family.name);
  for (const Entry& entry : family.entries()) {
    std::vector<std::string> options;
    for (const auto& [name, value] : entry.defaults.values())
      options.push_back(name + "=" + value_text(value));
    const std::string name = options.empty() ? entry.name : fmt::format("{}({})", entry.name, fmt::join(options, ", "));
    fmt::print("  {:<22} {}\n", name, entry.help.empty() ? entry.detail : entry.help);
    if (!entry.source.empty()) fmt::print("  {:<22} source: {}\n", "", entry.source);
  }
}

Json family_json(const Family& family) {
  Json list = Json::array();
  for (const Entry& entry : family.entries()) {
    Json item = {{"name", entry.name}};
    if (!entry.help.empty()) item["help"] = entry.help;
    if (!entry.source.empty()) item["source"] = entry.source;
    if (!entry.detail.empty()) item["text"] = entry.detail;
    Json options = Json::object();
    for (const auto& [name, value] : entry.defaults.values())
      std::visit([&, key = name](const auto& v) { options[key] = v; }, value);
    if (!options.empty()) item["defaults"] = std::move(options);
    list.push_back(std::move(item));
  }
  return list;
}

/// All settings of a method, each below what it means, as read_yaml_config() reads them.
void print_method_yaml(const search::Method& method) {
  fmt::print("# {}: {}\n# source: {}\n", method.name, method.help, method.source);
  std::string group;
  for (const search::ConfigField& field : search::config_fields()) {
    if (field.group != group) fmt::print("\n# == {} ==\n", field.group);
    group = field.group;
    // The name belongs to the recipe, whatever its settings say.
    const std::string value = field.name == "method" ? method.name : field_text(field, method.defaults);
    fmt::print("# {}\n{}: {}\n", field.help, field.name, yaml_scalar(value));
  }
}

void print_method(const search::Method& method, bool yaml, bool json) {
  if (yaml) {
    print_method_yaml(method);
    return;
  }
  if (json) {
    fmt::print("{}\n", Json{{"name", method.name},
                            {"help", method.help},
                            {"source", method.source},
                            {"defaults", Json::parse(search::to_json(method.defaults))}}
                           .dump(2));
    return;
  }
  fmt::print("{}: {}\nsource: {}\n", method.name, method.help, method.source);
  for (const search::ConfigField& field : search::config_fields())
    fmt::print("  {:<22} {}\n", field.name, field_text(field, method.defaults));
}

std::vector<Family> chosen_families(const std::vector<std::string>& names) {
  std::vector<Family> all = families();
  if (names.empty()) return all;
  std::vector<std::string> known;
  known.reserve(all.size());
  for (const Family& family : all)
    known.push_back(family.name);
  std::vector<Family> chosen;
  std::vector<std::string> problems;
  for (std::string name : names) {
    std::replace(name.begin(), name.end(), '-', '_');
    const auto found = std::find_if(all.begin(), all.end(), [&](const Family& family) { return family.name == name; });
    if (found != all.end()) {
      chosen.push_back(*found);
      continue;
    }
    const std::string nearest = nearest_match(name, known);
    problems.push_back(fmt::format("unknown family '{}'{}; choices: {}", name,
                                   nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest),
                                   fmt::join(known, ", ")));
  }
  if (!problems.empty()) throw UsageError(fmt::format("{}", fmt::join(problems, "\n")));
  return chosen;
}

}  // namespace

ExitCode run_list_verb(const Arguments& arguments, Messages& messages) {
  VerbParser parser("list", description);
  parser.app().footer(examples);
  std::vector<std::string> names;
  std::string method;
  bool yaml = false;
  parser.app()
      .add_option("family", names,
                  "spaces, candidates, relaxations, edge_weightings, transforms, perturbations, bilevel,\n"
                  "arch_optimizers, loss_terms, controllers,\n"
                  "discretisations, methods, datasets or genotypes")
      ->type_name("FAMILY")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  parser.app().add_option("--method", method, "Show one method with its settings")->type_name("NAME");
  parser.app().add_flag("--yaml", yaml, "With --method: print its settings as a configuration file");
  parser.add_output_flags(messages);
  if (!parser.parse(arguments)) return ExitCode::done;
  if (yaml && method.empty()) throw UsageError("--yaml needs --method NAME");
  if (yaml && parser.json()) throw UsageError("--yaml and --json exclude each other");
  if (!method.empty() && !names.empty()) throw UsageError("--method shows one method; it takes no family");

  if (!method.empty()) {
    print_method(search::methods().at(method), yaml, parser.json());
    return ExitCode::done;
  }
  const std::vector<Family> chosen = chosen_families(names);
  if (parser.json()) {
    Json result = Json::object();
    for (const Family& family : chosen)
      result[family.name] = family_json(family);
    fmt::print("{}\n", result.dump(2));
    return ExitCode::done;
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (i > 0) fmt::print("\n");
    print_family(chosen[i]);
  }
  return ExitCode::done;
}

}  // namespace dnas::apps
