#include "core/session.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <numeric>

namespace dnas::search {

namespace {

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

Session::Session(const SearchConfig& config)
    : dataset(open_dataset(checked(config))),
      model(config, network_config(config, dataset)),
      train_loader(dataset, dataset.train, split(config, dataset, true), loader_options(config)),
      arch_loader(dataset, dataset.train, split(config, dataset, false), arch_options(config)),
      validation_loader(dataset, dataset.train, split(config, dataset, false), validation_options(config)) {
  model.net.set_memory_budget(arena_budget(config, model.bytes() + data_bytes()));
  for (const std::int64_t batch : train_loader.batch_sizes(steps())) {
    model.prepare_weight_step(batch);
    for (const std::int64_t arch_batch : arch_loader.batch_sizes(steps()))
      model.prepare_arch_step(batch, arch_batch);
  }
  if (config.validate) {
    for (const std::int64_t batch : validation_loader.batch_sizes(validation_steps()))
      model.prepare_validation(batch);
  }
}

std::size_t Session::data_bytes() const {
  return dataset.train.pixels.size() + dataset.test.pixels.size() + train_loader.bytes() + arch_loader.bytes() +
         validation_loader.bytes();
}

SearchPlan Session::plan() const {
  SearchPlan plan;
  plan.memory.activations = model.net.arena_bytes();
  plan.memory.weights = model.bytes();
  plan.memory.data = data_bytes();
  plan.parameters = model.net.tables().parameters->count();
  for (const Architecture::Tensor& tensor : model.architecture.tensors())
    plan.alphas += tensor.values.elements();
  plan.steps_per_epoch = steps();
  plan.epochs = model.config.epochs;
  plan.train_images = train_loader.images();
  plan.arch_images = validation_loader.images();
  plan.nodes = model.net.nodes();
  plan.recomputed = model.net.recomputed();
  plan.threads = model.ctx.threads();
  return plan;
}

}  // namespace dnas::search
