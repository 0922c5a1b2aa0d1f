#include "core/session.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

namespace dnas::search {

namespace {

const SearchConfig& checked(const SearchConfig& config) {
  const std::vector<std::string> problems = check(config);
  if (!problems.empty()) throw ConfigError(fmt::format("{}", fmt::join(problems, "\n")));
  return config;
}

engine::Dataset open_dataset(const SearchConfig& config) {
  return engine::datasets().at(config.dataset).open({config.data, static_cast<std::uint64_t>(config.seed)});
}

NetworkConfig network_config(const SearchConfig& config, const engine::Dataset& dataset) {
  return {.init_channels = config.init_channels,
          .layers = static_cast<int>(config.layers),
          .classes = dataset.classes,
          .batch = config.batch_size,
          .image = dataset.train.image};
}

/// The first part of the training images is for the weights, the rest for alpha, as in the official code.
std::vector<std::int64_t> split(const SearchConfig& config, const engine::Dataset& dataset, bool for_weights) {
  const auto images = dataset.train.size();
  const auto border = static_cast<std::int64_t>(config.train_portion * static_cast<double>(images));
  const std::int64_t first = for_weights ? 0 : border;
  const std::int64_t last = for_weights ? border : images;
  if (last <= first) {
    throw ConfigError(fmt::format("train_portion {} of {} images leaves none for {}", config.train_portion, images,
                                  for_weights ? "the weights" : "the architecture"));
  }
  std::vector<std::int64_t> indices(static_cast<std::size_t>(last - first));
  std::iota(indices.begin(), indices.end(), first);
  return indices;
}

engine::LoaderOptions loader_options(const SearchConfig& config) {
  engine::LoaderOptions options;
  options.batch_size = config.batch_size;
  options.augment = config.augment;
  options.cutout_length = config.cutout ? static_cast<int>(config.cutout_length) : 0;
  options.seed = static_cast<std::uint64_t>(config.seed);
  return options;
}

/// Architecture steps take an independent random batch each, not a pass through their split.
engine::LoaderOptions arch_options(const SearchConfig& config) {
  engine::LoaderOptions options = loader_options(config);
  options.independent = true;
  options.order_stream = Stream::arch_data_order;
  options.augmentation_stream = Stream::arch_augmentation;
  return options;
}

engine::LoaderOptions validation_options(const SearchConfig& config) {
  engine::LoaderOptions options = loader_options(config);
  options.shuffle = false;
  options.augment = false;
  options.cutout_length = 0;
  return options;
}

}  // namespace

Session::Session(const SearchConfig& config_)
    : config(checked(config_)),
      ctx(Context::cpu(static_cast<int>(config.threads))),
      dataset(open_dataset(config)),
      space(make_part(spaces(), parse_part(config.space))),
      net(space, network_config(config, dataset), static_cast<float>(config.label_smoothing), ctx,
          {.fusion = config.fusion, .memory_budget = 0}),
      architecture(*space, make_part(relaxations(), parse_part(config.relaxation)),
                   make_part(edge_weightings(), parse_part(config.edge_weighting))),
      arch_optimizer(make_part(arch_optimizers(), parse_part(config.arch_optimizer))),
      bilevel(make_part(bilevel_steps(), parse_part(config.bilevel))),
      discretisation(make_part(discretisations(), parse_part(config.discretisation))),
      weights(net.tables().parameters),
      states(net.tables().states),
      optimizer(net.tables().parameters, {.momentum = config.momentum, .weight_decay = config.weight_decay}),
      train_loader(dataset, dataset.train, split(config, dataset, true), loader_options(config)),
      arch_loader(dataset, dataset.train, split(config, dataset, false), arch_options(config)),
      validation_loader(dataset, dataset.train, split(config, dataset, false), validation_options(config)),
      state{.net = net,
            .architecture = architecture,
            .arch_optimizer = *arch_optimizer,
            .weights = weights,
            .states = states,
            .optimizer = optimizer,
            .arch_settings = {.learning_rate = config.arch_learning_rate, .weight_decay = config.arch_weight_decay},
            .learning_rate = config.learning_rate,
            .grad_clip = config.grad_clip,
            .seed = static_cast<std::uint64_t>(config.seed)} {
  for (const PartChoice& choice : parse_parts(config.controllers)) {
    schedule_controllers.push_back(make_part(controllers(), choice));
  }
  const auto seed = static_cast<std::uint64_t>(config.seed);
  weights.initialise(seed);
  states.initialise(seed);
  architecture.initialise(seed);
  arch_optimizer->prepare(architecture.parameters().size());
  bilevel_bytes_ = bilevel->prepare(net.tables(), architecture.parameters().size());

  net.set_memory_budget(arena_budget(config, weight_bytes() + data_bytes()));
  const auto prepare = [&](const engine::Loader& loader, std::int64_t batches, std::span<const Want> wants) {
    for (const std::int64_t batch : loader.batch_sizes(batches)) {
      for (const Want want : wants)
        net.prepare(want, batch);
    }
  };
  prepare(train_loader, steps(), bilevel->train_wants());
  prepare(arch_loader, steps(), bilevel->arch_wants());
  if (config.validate) prepare(validation_loader, validation_steps(), std::array{Want::nothing});
}

std::size_t Session::weight_bytes() const {
  // Weights, gradient and momentum.
  return 3 * weights.flat().size_bytes() + states.flat().size_bytes() + bilevel_bytes_;
}

std::size_t Session::data_bytes() const {
  return dataset.train.pixels.size() + dataset.test.pixels.size() + train_loader.bytes() + arch_loader.bytes() +
         validation_loader.bytes();
}

SearchPlan Session::plan() const {
  SearchPlan plan;
  plan.memory.activations = net.arena_bytes();
  plan.memory.weights = weight_bytes();
  plan.memory.data = data_bytes();
  plan.parameters = net.tables().parameters->count();
  for (const Architecture::Tensor& tensor : architecture.tensors())
    plan.alphas += tensor.values.elements();
  plan.steps_per_epoch = steps();
  plan.epochs = config.epochs;
  plan.train_images = train_loader.images();
  plan.arch_images = validation_loader.images();
  plan.nodes = net.nodes();
  plan.recomputed = net.recomputed();
  plan.threads = ctx.threads();
  return plan;
}

Schedule Session::schedule(std::int64_t epoch) const {
  Schedule schedule;
  schedule.learning_rate = config.learning_rate;
  for (const auto& controller : schedule_controllers)
    controller->begin_epoch(config, epoch, schedule);
  return schedule;
}

Genotype Session::genotype() {
  state.relax();
  return discretisation->derive(*space, architecture.mix());
}

}  // namespace dnas::search
