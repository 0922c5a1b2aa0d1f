#include "dnas/search/genotype.hpp"
#include "dnas/search/space.hpp"
#include "genotype_argument.hpp"
#include "network_report.hpp"
#include "options.hpp"
#include "units.hpp"
#include "usage_error.hpp"
#include "verbs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string_view>

namespace dnas::apps {
namespace {

using search::ChoiceGroup;
using search::Genotype;
using search::NetworkConfig;
using search::SearchConfig;
using search::Space;
using Json = nlohmann::ordered_json;

constexpr const char* description =
    "Counts the parameters, multiply-adds and operations of a network and plans its memory. Nothing is executed.\n"
    "Without --genotype it is the supernet of a search; with it, the network that the genotype describes\n"
    "(--init_channels 36 --layers 20 --batch_size 96 unless given).";

constexpr const char* examples =
    "Examples:\n"
    "  dnas inspect                                   (the supernet of the official CIFAR-10 search)\n"
    "  dnas inspect --init_channels 8 --layers 3 --image 8x8x1 --batch_size 64\n"
    "  dnas inspect --genotype DARTS_V2 --auxiliary   (the published cell, at the size of the official evaluation)\n"
    "  dnas inspect --genotype runs/first/genotype.txt --init_channels 16 --layers 8 --json";

std::string states_text(const std::vector<int>& states) {
  return fmt::format("{}", fmt::join(states, ", "));
}

void print_groups(const Space& space) {
  fmt::print("choice groups\n");
  for (const ChoiceGroup& group : space.choice_groups()) {
    fmt::print("  {}: {} edges x {} candidates, output of states {}\n", group.name, group.rows(), group.columns(),
               states_text(group.concat));
    if (!group.edges.empty()) fmt::print("    {}\n", fmt::join(group.edges.front().candidates, ", "));
  }
}

void print_cells(const Genotype& genotype) {
  for (const auto& [name, cell] : genotype.cells) {
    fmt::print("{} cell: {} edges, output of states {}\n", name, cell.edges.size(), states_text(cell.concat));
    for (const search::GenotypeEdge& edge : cell.edges)
      fmt::print("  {} -> {}  {}\n", edge.from, edge.to, edge.op);
  }
}

void print_report(const NetworkReport& report) {
  fmt::print("parameters {}\n", with_commas(report.parameters));
  if (report.auxiliary_parameters > 0)
    fmt::print("auxiliary parameters {}\n", with_commas(report.auxiliary_parameters));
  fmt::print("multiply-adds {} per image\n", with_commas(report.multiply_adds));
  std::size_t total = 0;
  for (const NetworkReport::Operation& operation : report.operations)
    total += operation.count;
  fmt::print("operations {} in a forward pass\n", total);
  for (const NetworkReport::Operation& operation : report.operations)
    fmt::print("  {:<18} {:>6}\n", operation.kind, operation.count);
  fmt::print("planned memory\n  {:<18} {:>6} {:>12} {:>12}\n", "step", "nodes", "arena", "lower bound");
  for (const NetworkReport::Step& step : report.steps) {
    fmt::print("  {:<18} {:>6} {:>12} {:>12}\n", step.name, step.nodes, bytes_text(step.arena_bytes),
               bytes_text(step.live_bytes));
  }
  fmt::print("  weights, gradient, momentum, statistics {}\n", bytes_text(report.weight_bytes));
}

Json size_json(const NetworkConfig& config) {
  return {{"init_channels", config.init_channels},
          {"layers", config.layers},
          {"classes", config.classes},
          {"image", {config.image[0], config.image[1], config.image[2]}},
          {"batch_size", config.batch},
          {"auxiliary", config.auxiliary}};
}

Json report_json(const NetworkReport& report) {
  Json operations = Json::object();
  for (const NetworkReport::Operation& operation : report.operations)
    operations[operation.kind] = operation.count;
  Json steps = Json::array();
  for (const NetworkReport::Step& step : report.steps) {
    steps.push_back({{"name", step.name},
                     {"nodes", step.nodes},
                     {"arena_bytes", step.arena_bytes},
                     {"live_bytes", step.live_bytes}});
  }
  return {{"parameters", report.parameters},
          {"auxiliary_parameters", report.auxiliary_parameters},
          {"multiply_adds", report.multiply_adds},
          {"operations", std::move(operations)},
          {"steps", std::move(steps)},
          {"weight_bytes", report.weight_bytes}};
}

Json groups_json(const Space& space) {
  Json groups = Json::array();
  for (const ChoiceGroup& group : space.choice_groups()) {
    Json edges = Json::array();
    for (const search::ChoiceEdge& edge : group.edges)
      edges.push_back({{"from", edge.from}, {"to", edge.to}, {"candidates", edge.candidates}});
    groups.push_back({{"name", group.name}, {"edges", std::move(edges)}, {"concat", group.concat}});
  }
  return groups;
}

struct InspectFlags {
  std::string genotype;
  std::string image = "32x32x3";
  int classes = 10;
  bool auxiliary = false;
};

/// Sizes that were given; a derived network has the defaults of the official evaluation.
NetworkConfig network_config(const InspectFlags& flags, const ConfigOptions& options, const SearchConfig& config) {
  NetworkConfig network;
  network.image = parse_image(flags.image);
  network.classes = flags.classes;
  network.auxiliary = flags.auxiliary;
  const bool derived = !flags.genotype.empty();
  const auto size = [&](const char* name, std::int64_t configured, std::int64_t of_evaluation) {
    return derived && !options.given(name) ? of_evaluation : configured;
  };
  network.init_channels = size("init_channels", config.init_channels, 36);
  network.layers = static_cast<int>(size("layers", config.layers, 20));
  network.batch = size("batch_size", config.batch_size, 96);
  return network;
}

std::string title(const std::string& what, const NetworkConfig& config) {
  return fmt::format("{}: {} channels, {} layers, {} classes, batch {} of {}x{}x{}\n", what, config.init_channels,
                     config.layers, config.classes, config.batch, config.image[0], config.image[1], config.image[2]);
}

void inspect_supernet(const Space& space, const std::string& name, const NetworkConfig& config, bool fusion,
                      bool json) {
  const NetworkReport report = report_network(
      config, [&](engine::Graph& graph, const NetworkConfig& size) { return space.build_supernet(graph, size); },
      {{"weight step", {.weights = true}}, {"architecture step", {.mixing = true}}, {"evaluation", {}}}, fusion,
      Context::cpu());
  if (json) {
    Json result = {{"network", "supernet"}, {"space", name}, {"size", size_json(config)}};
    result.update(report_json(report));
    result["choice_groups"] = groups_json(space);
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{}", title("supernet of space " + name, config));
  print_report(report);
  print_groups(space);
}

void inspect_derived(const Space& space, const Genotype& genotype, const NetworkConfig& config, bool json) {
  const NetworkReport report = report_network(
      config,
      [&](engine::Graph& graph, const NetworkConfig& size) { return space.build_derived(graph, size, genotype); },
      {{"weight step", {.weights = true}}, {"evaluation", {}}}, false, Context::cpu());
  if (json) {
    Json result = {{"network", "derived"}, {"size", size_json(config)}};
    result.update(report_json(report));
    result["genotype"] = Json::parse(search::to_json(genotype));
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{}", title("network of a genotype", config));
  print_report(report);
  if (config.auxiliary) fmt::print("  (of the main classifier; the auxiliary one is only counted)\n");
  print_cells(genotype);
}

}  // namespace

ExitCode run_inspect_verb(const Arguments& arguments, Messages& messages) {
  VerbParser parser("inspect", description);
  parser.app().footer(examples);
  InspectFlags flags;
  const std::string group = "Network";
  parser.app()
      .add_option("--genotype", flags.genotype, "A published cell ('dnas list genotypes'), a file, or the text itself")
      ->type_name("NAME|FILE|TEXT")
      ->group(group);
  parser.app().add_flag("--auxiliary", flags.auxiliary, "With --genotype: add the auxiliary classifier")->group(group);
  parser.app()
      .add_option("--image", flags.image, "Extents of an image in pixels, and its channels [32x32x3]")
      ->type_name("HxWxC")
      ->group(group);
  parser.app().add_option("--classes", flags.classes, "Number of classes [10]")->type_name("N")->group(group);
  parser.add_output_flags(messages);
  const ConfigOptions options(parser.app(), {"method", "space", "init_channels", "layers", "batch_size", "fusion"});
  if (!parser.parse(arguments)) return ExitCode::done;
  if (flags.auxiliary && flags.genotype.empty())
    throw UsageError("--auxiliary needs --genotype: a supernet has no auxiliary classifier");

  const SearchConfig config = options.resolve();
  const NetworkConfig network = network_config(flags, options, config);
  const std::unique_ptr<Space> space = search::make_part(search::spaces(), search::parse_part(config.space));
  if (flags.genotype.empty())
    inspect_supernet(*space, config.space, network, config.fusion, parser.json());
  else
    inspect_derived(*space, read_genotype(flags.genotype), network, parser.json());
  return ExitCode::done;
}

}  // namespace dnas::apps
