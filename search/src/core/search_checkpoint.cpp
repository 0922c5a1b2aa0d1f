#include "core/search_checkpoint.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <deque>

namespace dnas::search {

namespace {

using Json = nlohmann::ordered_json;

/// Settings that may differ between a run and its continuation: they do not change its course (fusion: but for
/// rounding).
constexpr std::array<std::string_view, 5> free_settings{"data", "threads", "fusion", "memory_budget",
                                                        "keep_checkpoints"};

/// Tensors to write, and the converted copies they point to.
class PartBuilder {
 public:
  explicit PartBuilder(std::string name) { part_.name = std::move(name); }

  void add(const engine::ParameterSet& set, const std::string& prefix) {
    const auto specs = set.table().specs();
    for (std::size_t i = 0; i < specs.size(); ++i) {
      add(prefix + specs[i].name, specs[i].file_shape(), set.to_file(static_cast<int>(i)));
    }
  }
  void add(const std::string& name, std::vector<std::int64_t> shape, std::vector<float> values) {
    copies_.push_back(std::move(values));
    part_.tensors.push_back({name, DType::f32, std::move(shape), std::as_bytes(std::span(copies_.back()))});
  }
  [[nodiscard]] engine::CheckpointPart take() { return std::move(part_); }

 private:
  engine::CheckpointPart part_;
  std::deque<std::vector<float>> copies_;  // stable addresses
};

std::vector<float> read_tensor(const engine::SafetensorsReader& reader, const std::string& name,
                               const std::vector<std::int64_t>& shape) {
  const engine::TensorInfo* info = reader.find(name);
  if (info == nullptr) throw DataError(fmt::format("checkpoint: tensor '{}' is missing", name));
  if (info->shape != shape) {
    throw DataError(fmt::format("checkpoint: tensor '{}' is [{}], expected [{}]", name, fmt::join(info->shape, ", "),
                                fmt::join(shape, ", ")));
  }
  std::int64_t count = 1;
  for (const std::int64_t extent : shape)
    count *= extent;
  std::vector<float> values(static_cast<std::size_t>(count));
  reader.read_f32(*info, values);
  return values;
}

void read_set(const engine::SafetensorsReader& reader, engine::ParameterSet& set, const std::string& prefix) {
  const auto specs = set.table().specs();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    set.from_file(static_cast<int>(i), read_tensor(reader, prefix + specs[i].name, specs[i].file_shape()));
  }
}

void read_present(const engine::SafetensorsReader& reader, Architecture& architecture, std::size_t group) {
  const ChoiceGroup& choices = architecture.groups()[group];
  const std::vector<float> values =
      read_tensor(reader, "present_" + choices.name, {choices.rows() * choices.columns()});
  std::vector<std::uint8_t> flags(values.size());
  std::ranges::transform(values, flags.begin(), [](float flag) { return static_cast<std::uint8_t>(flag != 0.0F); });
  architecture.set_present(group, flags);
}

void compare_configs(const SearchConfig& before, const SearchConfig& now) {
  std::vector<std::string> differences;
  for (const ConfigField& field : config_fields()) {
    if (std::ranges::find(free_settings, field.name) != free_settings.end()) continue;
    const Options::Value old_value = field.get(before);
    const Options::Value new_value = field.get(now);
    if (old_value == new_value) continue;
    const auto text = [](const Options::Value& value) {
      return std::visit([](const auto& v) { return fmt::format("{}", v); }, value);
    };
    differences.push_back(fmt::format("{} was {}, now {}", field.name, text(old_value), text(new_value)));
  }
  if (!differences.empty()) {
    throw ConfigError(
        fmt::format("the run to resume was started with other settings: {}; give the same ones, or start "
                    "a new run in another folder",
                    fmt::join(differences, "; ")));
  }
}

Json to_json(const Progress& progress) {
  return {{"epoch", progress.epoch},
          {"step", progress.step},
          {"global_step", progress.global_step},
          {"train_loss_sum", progress.train.loss_sum},
          {"train_top1_hits", progress.train.top1_hits},
          {"train_top5_hits", progress.train.top5_hits},
          {"train_images", progress.train.images},
          {"valid_top1", progress.valid_top1},
          {"metrics_lines", progress.metrics_lines},
          {"log_lines", progress.log_lines},
          {"stopped_with", progress.stopped_with}};
}

Progress progress_from(const Json& json) {
  Progress progress;
  json.at("epoch").get_to(progress.epoch);
  json.at("step").get_to(progress.step);
  json.at("global_step").get_to(progress.global_step);
  json.at("train_loss_sum").get_to(progress.train.loss_sum);
  json.at("train_top1_hits").get_to(progress.train.top1_hits);
  json.at("train_top5_hits").get_to(progress.train.top5_hits);
  json.at("train_images").get_to(progress.train.images);
  json.at("valid_top1").get_to(progress.valid_top1);
  json.at("metrics_lines").get_to(progress.metrics_lines);
  json.at("log_lines").get_to(progress.log_lines);
  json.at("stopped_with").get_to(progress.stopped_with);
  return progress;
}

}  // namespace

void save_checkpoint(engine::CheckpointStore& store, Session& session, const Progress& progress) {
  PartBuilder model("model");
  model.add(session.model().weights, "");
  model.add(session.model().states, "");
  PartBuilder arch("arch");
  for (const Architecture::Tensor& tensor : session.model().architecture.tensors()) {
    const float* values = tensor.values.f32();
    arch.add(tensor.name, tensor.values.shape.extents(), {values, values + tensor.values.elements()});
  }
  for (std::size_t g = 0; g < session.model().architecture.groups().size(); ++g) {
    const auto flags = session.model().architecture.present(g);
    arch.add("present_" + session.model().architecture.groups()[g].name, {static_cast<std::int64_t>(flags.size())},
             {flags.begin(), flags.end()});
  }
  PartBuilder optim("optim");
  optim.add(session.model().optimizer.momentum(), "momentum.");
  for (const ArchOptimizer::State& state : session.model().arch_optimizer->state()) {
    optim.add("arch." + state.name, {static_cast<std::int64_t>(state.values.size())},
              {state.values.begin(), state.values.end()});
  }
  Json json;
  json["progress"] = to_json(progress);
  json["images"] = session.dataset.train.size();
  json["arch_optimizer_steps"] = session.model().arch_optimizer->steps();
  json["controllers"] = Json::array();
  for (const auto& controller : session.controllers)
    json["controllers"].push_back(Json::parse(controller->state()));
  json["config"] = Json::parse(to_json(session.config));
  for (const std::string_view name : free_settings)
    json["config"].erase(std::string(name));

  std::vector<engine::CheckpointPart> parts;
  for (PartBuilder* builder : {&model, &arch, &optim})
    parts.push_back(builder->take());
  store.write(progress.global_step, parts, json.dump());
}

Progress load_checkpoint(const engine::CheckpointStore::Loaded& checkpoint, Session& session) {
  Progress progress;
  std::int64_t arch_steps = 0;
  std::int64_t images = 0;
  std::vector<std::string> controller_states;
  SearchConfig config;
  try {
    const Json json = Json::parse(checkpoint.state);
    progress = progress_from(json.at("progress"));
    json.at("arch_optimizer_steps").get_to(arch_steps);
    json.at("images").get_to(images);
    for (const Json& state : json.at("controllers"))
      controller_states.push_back(state.dump());
    config = config_from_json(json.at("config").dump());
  } catch (const Json::exception& error) {
    throw DataError(
        fmt::format("{}: the state in manifest.json is not a search's ({})", checkpoint.folder.string(), error.what()));
  }
  compare_configs(config, session.config);
  if (images != session.dataset.train.size() || progress.step > session.steps()) {
    throw ConfigError(
        fmt::format("the run to resume was started on {} training images, now there are {}; give the same "
                    "data",
                    images, session.dataset.train.size()));
  }

  const auto& controllers = session.controllers;
  if (controller_states.size() != controllers.size()) {
    throw DataError(
        fmt::format("checkpoint: states of {} controllers, expected {}", controller_states.size(), controllers.size()));
  }
  for (std::size_t i = 0; i < controllers.size(); ++i)
    controllers[i]->restore(controller_states[i]);
  // The network whose weights these are: at the start of an epoch, that of the one before.
  session.begin_epoch(progress.step == 0 ? std::max<std::int64_t>(progress.epoch - 1, 0) : progress.epoch);
  const engine::SafetensorsReader model = checkpoint.part("model");
  read_set(model, session.model().weights, "");
  read_set(model, session.model().states, "");
  const engine::SafetensorsReader arch = checkpoint.part("arch");
  for (const Architecture::Tensor& tensor : session.model().architecture.tensors()) {
    const std::vector<float> values = read_tensor(arch, tensor.name, tensor.values.shape.extents());
    std::ranges::copy(values, tensor.values.f32());
  }
  for (std::size_t g = 0; g < session.model().architecture.groups().size(); ++g)
    read_present(arch, session.model().architecture, g);
  const engine::SafetensorsReader optim = checkpoint.part("optim");
  read_set(optim, session.model().optimizer.momentum(), "momentum.");
  for (const ArchOptimizer::State& state : session.model().arch_optimizer->state()) {
    const std::vector<float> values =
        read_tensor(optim, "arch." + state.name, {static_cast<std::int64_t>(state.values.size())});
    std::ranges::copy(values, state.values.begin());
  }
  session.model().arch_optimizer->set_steps(arch_steps);
  return progress;
}

}  // namespace dnas::search
