#include "dnas/engine/sgd.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/architecture.hpp"
#include "dnas/search/bilevel_step.hpp"
#include "dnas/search/supernet.hpp"
#include "options.hpp"
#include "probe_files.hpp"
#include "usage_error.hpp"
#include "verbs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dnas::apps {
namespace {

using search::Architecture;
using search::SearchConfig;
using search::Supernet;

constexpr const char* description =
    "Evaluates a supernet once, in training mode, and writes logits, loss and all gradients: for comparing this "
    "engine\n"
    "with another one. Files are safetensors; tensors have the names and layouts of the official state_dict.\n"
    "  --weights   every weight, alphas_normal and alphas_reduce [edges, candidates]; running statistics may be there\n"
    "  --batch     images f32 [N, C, H, W], normalised, and labels i64 [N]\n"
    "  --out       logits, loss, grad.NAME of every weight and alpha; with --train_batch unrolled.grad.alphas_*, the\n"
    "              second-order architecture gradient with --batch as the validation batch";

constexpr const char* examples =
    "Examples:\n"
    "  dnas probe --weights w.safetensors --batch b.safetensors --out gradients.safetensors\n"
    "  dnas probe --init_channels 4 --layers 3 --weights w.safetensors --batch valid.safetensors \\\n"
    "    --train_batch train.safetensors --xi 0.025 --momentum_buffers m.safetensors --out gradients.safetensors";

struct ProbeFlags {
  std::string weights;
  std::string batch;
  std::string out;
  std::string train_batch;
  std::string momentum_buffers;
  double xi = 0.025;
  int classes = 10;
};

void add_probe_flags(CLI::App& app, ProbeFlags& flags) {
  const std::string group = "Probe";
  app.add_option("--weights", flags.weights, "Weights and alphas (required)")->type_name("FILE")->group(group);
  app.add_option("--batch", flags.batch, "Images and labels (required)")->type_name("FILE")->group(group);
  app.add_option("--out", flags.out, "Where the results go (required)")->type_name("FILE")->group(group);
  app.add_option("--train_batch", flags.train_batch, "Training batch of the second-order gradient")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--xi", flags.xi, "Step of the weights in the second-order gradient: their learning rate [0.025]")
      ->type_name("X")
      ->group(group);
  app.add_option("--momentum_buffers", flags.momentum_buffers, "Momentum of the weights there, by their names [zero]")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--classes", flags.classes, "Number of classes [10]")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20))
      ->group(group);
}

void check_flags(const ProbeFlags& flags) {
  std::vector<std::string> problems;
  for (const auto& [name, value] :
       {std::pair{"--weights", &flags.weights}, std::pair{"--batch", &flags.batch}, std::pair{"--out", &flags.out}}) {
    if (value->empty()) problems.push_back(fmt::format("{} FILE is missing", name));
  }
  if (flags.train_batch.empty() && !flags.momentum_buffers.empty())
    problems.emplace_back("--momentum_buffers is for the second-order gradient and needs --train_batch FILE");
  if (!problems.empty()) throw UsageError(fmt::format("{}", fmt::join(problems, "\n")));
}

/// Weights, running statistics and architecture parameters from one file.
void read_weights(const std::string& path, engine::ParameterSet& weights, engine::ParameterSet& states,
                  Architecture& architecture) {
  TensorFile file(path);
  file.read_all(weights);
  file.read_present(states);
  for (const Architecture::Tensor& tensor : architecture.tensors()) {
    const std::vector<float> values = file.values(tensor.name, tensor.values.shape.extents());
    std::copy(values.begin(), values.end(), tensor.values.f32());
  }
  file.refuse_others();
  if (!file.problems().empty()) throw DataError(fmt::format("{}", fmt::join(file.problems(), "\n")));
}

void read_momentum(const std::string& path, engine::ParameterSet& momentum) {
  TensorFile file(path);
  file.read_all(momentum);
  file.refuse_others();
  if (!file.problems().empty()) throw DataError(fmt::format("{}", fmt::join(file.problems(), "\n")));
}

std::vector<float> copy_of(const TensorView& view) {
  return {view.f32(), view.f32() + view.elements()};
}

void add_alpha_gradients(const std::string& prefix, const Architecture& architecture, TensorCollection& results) {
  for (const Architecture::Tensor& tensor : architecture.tensors()) {
    results.add(prefix + tensor.name, tensor.gradient.shape.extents(), copy_of(tensor.gradient));
  }
}

/// A supernet with everything a probe needs around it.
struct Probe {
  std::shared_ptr<const search::Space> space;
  Supernet net;
  Architecture architecture;
  engine::ParameterSet weights;
  engine::ParameterSet states;

  Probe(const SearchConfig& config, const search::NetworkConfig& network)
      : space(search::make_part(search::spaces(), search::parse_part(config.space))),
        net(space, network, static_cast<float>(config.label_smoothing), Context::cpu(static_cast<int>(config.threads)),
            {.fusion = config.fusion, .memory_budget = 0}),
        architecture(*space, search::make_part(search::relaxations(), search::parse_part(config.relaxation)),
                     search::make_part(search::edge_weightings(), search::parse_part(config.edge_weighting))),
        weights(net.tables().parameters),
        states(net.tables().states) {
    states.initialise(0);
  }
};

double first_order(Probe& probe, const engine::Batch& batch, TensorCollection& results) {
  const Supernet::Result& result = probe.net.evaluate(search::Want::both, batch, probe.architecture.mix(),
                                                      probe.weights.flat(), probe.states.flat());
  const double loss = result.loss;
  results.add("logits", {result.logits.shape[0], result.logits.shape[1]}, copy_of(result.logits));
  results.add("loss", {1}, {static_cast<float>(loss)});
  results.add_all("grad.", probe.net.gradient());
  probe.architecture.backward(probe.net.context(), result.dmix);
  add_alpha_gradients("grad.", probe.architecture, results);
  return loss;
}

void second_order(Probe& probe, const ProbeFlags& flags, const SearchConfig& config, const engine::Batch& train,
                  const engine::Batch& valid, TensorCollection& results) {
  engine::Sgd optimizer(probe.net.tables().parameters,
                        {.momentum = config.momentum, .weight_decay = config.weight_decay});
  if (!flags.momentum_buffers.empty()) read_momentum(flags.momentum_buffers, optimizer.momentum());
  const auto arch_optimizer = search::make_part(search::arch_optimizers(), search::parse_part(config.arch_optimizer));
  const auto step = search::make_part(search::bilevel_steps(), search::parse_part("unrolled"));
  step->prepare(probe.net.tables(), probe.architecture.parameters().size());
  search::SearchState state{.net = probe.net,
                            .architecture = probe.architecture,
                            .arch_optimizer = *arch_optimizer,
                            .weights = probe.weights,
                            .states = probe.states,
                            .optimizer = optimizer,
                            .arch_settings = {},
                            .learning_rate = flags.xi};
  static_cast<void>(step->arch_gradient(state, train, valid));
  add_alpha_gradients("unrolled.grad.", probe.architecture, results);
}

void check_alike(const engine::Batch& valid, const engine::Batch& train) {
  for (int axis = 1; axis < 4; ++axis) {
    if (valid.images.shape[axis] == train.images.shape[axis]) continue;
    throw DataError(
        fmt::format("images of --train_batch are [N, H, W, C] = {}, those of --batch {}; they must be alike",
                    train.images.shape.to_string(), valid.images.shape.to_string()));
  }
}

}  // namespace

ExitCode run_probe_verb(const Arguments& arguments, Messages& messages) {
  VerbParser parser("probe", description);
  parser.app().footer(examples);
  ProbeFlags flags;
  add_probe_flags(parser.app(), flags);
  parser.add_output_flags(messages);
  const ConfigOptions options(
      parser.app(), {"method", "space", "relaxation", "edge_weighting", "init_channels", "layers", "label_smoothing",
                     "weight_decay", "momentum", "threads", "fusion"});
  if (!parser.parse(arguments)) return ExitCode::done;
  check_flags(flags);
  const SearchConfig config = options.resolve();

  const BatchFile valid(flags.batch, flags.classes);
  std::optional<BatchFile> train;
  if (!flags.train_batch.empty()) {
    train.emplace(flags.train_batch, flags.classes);
    check_alike(valid.batch(), train->batch());
  }
  const Shape& images = valid.batch().images.shape;
  const search::NetworkConfig network{.init_channels = config.init_channels,
                                      .layers = static_cast<int>(config.layers),
                                      .classes = flags.classes,
                                      .batch = images[0],
                                      .image = {images[1], images[2], images[3]}};
  const auto made = [&] {
    try {
      return std::make_unique<Probe>(config, network);
    } catch (const ShapeError& error) {
      throw DataError(fmt::format("{}: {}", flags.batch, error.what()));  // the size came from the file
    }
  }();
  Probe& probe = *made;
  read_weights(flags.weights, probe.weights, probe.states, probe.architecture);
  probe.architecture.relax(probe.net.context(), {.phase = search::Phase::arch_step});

  TensorCollection results;
  const double loss = first_order(probe, valid.batch(), results);
  if (train) second_order(probe, flags, config, train->batch(), valid.batch(), results);
  results.write(flags.out);

  if (parser.json()) {
    fmt::print("{}\n", nlohmann::ordered_json{{"loss", loss}, {"tensors", results.size()}, {"out", flags.out}}.dump(2));
  } else {
    fmt::print("loss {:.6f}\n{} tensors in {}\n", loss, results.size(), flags.out);
  }
  return ExitCode::done;
}

}  // namespace dnas::apps
