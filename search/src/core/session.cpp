#include "core/session.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <numeric>
#include <utility>

namespace dnas::search {

namespace {

engine::Dataset open_dataset(const SearchConfig& config) {
  return engine::datasets().at(config.dataset).open({config.data, static_cast<std::uint64_t>(config.seed)});
}

NetworkConfig network_config(const SearchConfig& config, const Schedule& schedule, const engine::Dataset& dataset) {
  return {.init_channels = config.init_channels,
          .layers = static_cast<int>(schedule.layers),
          .classes = dataset.classes,
          .batch = schedule.batch_size,
          .image = dataset.train.image};
}

/// The configuration with what the schedule changes of its parts.
SearchConfig of_stage(SearchConfig config, const Schedule& schedule) {
  if (schedule.channel_divisor == 0) return config;
  for (const PartChoice& choice : parse_parts(config.transforms)) {
    if (choice.name != "partial_channel")
      throw ConfigError(fmt::format("stages with channel divisors need transforms 'partial_channel' alone, not '{}'",
                                    config.transforms));
  }
  config.transforms =
      schedule.channel_divisor == 1 ? "none" : fmt::format("partial_channel(k={})", schedule.channel_divisor);
  return config;
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

engine::LoaderOptions loader_options(const SearchConfig& config, const Schedule& schedule) {
  engine::LoaderOptions options;
  options.batch_size = schedule.batch_size;
  options.augment = config.augment;
  options.cutout_length = config.cutout ? static_cast<int>(config.cutout_length) : 0;
  options.seed = static_cast<std::uint64_t>(config.seed);
  return options;
}

/// Architecture steps take an independent random batch each, not a pass through their split.
engine::LoaderOptions arch_options(const SearchConfig& config, const Schedule& schedule) {
  engine::LoaderOptions options = loader_options(config, schedule);
  options.independent = true;
  options.order_stream = Stream::arch_data_order;
  options.augmentation_stream = Stream::arch_augmentation;
  return options;
}

engine::LoaderOptions validation_options(const SearchConfig& config, const Schedule& schedule) {
  engine::LoaderOptions options = loader_options(config, schedule);
  options.shuffle = false;
  options.augment = false;
  options.cutout_length = 0;
  return options;
}

}  // namespace

Session::Session(const SearchConfig& config_)
    : config(checked(config_)),
      dataset(open_dataset(config)),
      controllers(make_parts(search::controllers(), config.controllers)),
      schedule_(schedule_of(config, controllers, 0)) {
  build_model();
  build_loaders();
  prepare();
  model_->begin_epoch(0, schedule_);
}

Schedule Session::begin_epoch(std::int64_t epoch) {
  const Schedule before = std::exchange(schedule_, schedule_of(config, controllers, epoch));
  const bool other_network = !schedule_.same_network(before);
  const bool other_batches = schedule_.batch_size != before.batch_size;
  if (other_network) build_model();
  if (other_batches) build_loaders();
  if (other_network || other_batches) prepare();
  model_->begin_epoch(epoch, schedule_);
  return schedule_;
}

void Session::build_model() {
  std::vector<std::vector<std::uint8_t>> present;
  for (std::size_t g = 0; model_ && g < model_->architecture.groups().size(); ++g)
    present.emplace_back(model_->architecture.present(g).begin(), model_->architecture.present(g).end());
  model_.reset();  // before the next one takes memory
  model_ = std::make_unique<SearchModel>(of_stage(config, schedule_), network_config(config, schedule_, dataset),
                                         schedule_.stage);
  for (std::size_t g = 0; g < present.size(); ++g)
    model_->architecture.set_present(g, present[g]);
}

void Session::build_loaders() {
  loaders_.reset();
  // Made in place: make_unique() does not take the members of an aggregate.
  // NOLINTNEXTLINE(modernize-make-unique)
  loaders_ = std::unique_ptr<Loaders>(new Loaders{
      engine::Loader(dataset, dataset.train, split(config, dataset, true), loader_options(config, schedule_)),
      engine::Loader(dataset, dataset.train, split(config, dataset, false), arch_options(config, schedule_)),
      engine::Loader(dataset, dataset.train, split(config, dataset, false), validation_options(config, schedule_))});
}

void Session::prepare() {
  model_->net.set_memory_budget(arena_budget(config, model_->bytes() + data_bytes()));
  for (const std::int64_t batch : train_loader().batch_sizes(steps())) {
    model_->prepare_weight_step(batch);
    for (const std::int64_t arch_batch : arch_loader().batch_sizes(steps()))
      model_->prepare_arch_step(batch, arch_batch);
  }
  if (!config.validate) return;
  for (const std::int64_t batch : validation_loader().batch_sizes(validation_steps()))
    model_->prepare_validation(batch);
}

std::size_t Session::data_bytes() const {
  return dataset.train.pixels.size() + dataset.test.pixels.size() + loaders_->bytes();
}

SearchPlan Session::plan() const {
  SearchPlan plan;
  plan.memory.activations = model_->net.arena_bytes();
  plan.memory.weights = model_->bytes();
  plan.memory.data = data_bytes();
  plan.parameters = model_->net.tables().parameters->count();
  for (const Architecture::Tensor& tensor : model_->architecture.tensors())
    plan.alphas += tensor.values.elements();
  plan.steps_per_epoch = steps();
  plan.epochs = config.epochs;
  plan.train_images = train_loader().images();
  plan.arch_images = validation_loader().images();
  plan.nodes = model_->net.nodes();
  plan.recomputed = model_->net.recomputed();
  plan.threads = model_->ctx.threads();
  return plan;
}

}  // namespace dnas::search
