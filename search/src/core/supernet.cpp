#include "dnas/search/supernet.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dnas::search {

namespace {

std::string_view to_string(Want want) {
  switch (want) {
    case Want::nothing:
      return "evaluation";
    case Want::weights:
      return "weight gradient";
    case Want::mixing:
      return "architecture gradient";
    case Want::both:
      return "both gradients";
  }
  return "";
}

}  // namespace

Supernet::Supernet(std::shared_ptr<const Space> space, NetworkConfig config, float label_smoothing, Context ctx,
                   const StepOptions& options)
    : space_(std::move(space)), config_(config), label_smoothing_(label_smoothing), ctx_(ctx), options_(options) {
  // Declares the tables: their layout must not depend on which evaluation is planned first.
  engine::Graph declared(engine::Mode::train, tables_);
  static_cast<void>(space_->build_supernet(declared, config_));
  for (const ChoiceGroup& group : space_->choice_groups()) {
    mix_names_.push_back("mix_" + group.name);
    dmix_names_.push_back(mixing_gradient(mix_names_.back()));
  }
  gradient_ = std::make_unique<engine::ParameterSet>(tables_.parameters);
}

void Supernet::prepare(Want want, std::int64_t batch) {
  static_cast<void>(program(want, batch));
}

Supernet::Program& Supernet::program(Want want, std::int64_t batch) {
  if (const auto it = programs_.find({want, batch}); it != programs_.end()) return it->second;

  NetworkConfig config = config_;
  config.batch = batch;
  const bool want_mixing = want == Want::mixing || want == Want::both;
  const StepRequest request{.weights = want == Want::weights || want == Want::both,
                            .mixing = want_mixing,
                            .label_smoothing = label_smoothing_};
  const StepPlan step = plan_step([&](engine::Graph& graph) { return space_->build_supernet(graph, config); }, tables_,
                                  request, options_, ctx_);
  Program& made = programs_[{want, batch}];
  made.executor = std::make_unique<engine::Executor>(step.plan, ctx_);
  made.recomputed = step.recomputed;
  made.result.dmix.resize(want_mixing ? space_->choice_groups().size() : 0);
  if (step.plan->arena_bytes() > arena_bytes_) {
    arena_bytes_ = step.plan->arena_bytes();
    arena_ = Buffer();  // allocated by the next evaluation, so that planning alone costs no memory
  }
  return made;
}

void Supernet::allocate() {
  if (arena_.bytes() < arena_bytes_) arena_ = Buffer(arena_bytes_);
}

const Supernet::Result& Supernet::evaluate(Want want, const engine::Batch& batch, std::span<const TensorView> mix,
                                           std::span<float> weights, std::span<float> states) {
  if (mix.size() != space_->choice_groups().size()) {
    throw ShapeError(fmt::format("supernet: {} mixing weight arrays given, expected {} (one per choice group)",
                                 mix.size(), space_->choice_groups().size()));
  }
  Program& made = program(want, batch.images.shape[0]);
  allocate();
  engine::Executor& executor = *made.executor;
  const std::span<std::byte> arena(arena_.data(), arena_.bytes());
  executor.bind({arena, weights, gradient_->flat(), states});
  executor.set_input("images", batch.images);
  executor.set_input("labels", batch.labels);
  for (std::size_t g = 0; g < mix_names_.size(); ++g)
    executor.set_input(mix_names_[g], mix[g]);
  if (observer_ == nullptr)
    executor.run();
  else
    executor.run(*observer_);

  Result& result = made.result;
  result.loss = *executor.output("loss").f32();
  result.logits = executor.output("logits");
  const auto& outputs = executor.plan().graph().outputs();
  for (std::size_t g = 0; g < result.dmix.size(); ++g) {
    const auto it = outputs.find(dmix_names_[g]);
    result.dmix[g] = it == outputs.end() ? TensorView{} : executor.output(it->first);
  }
  if (want != Want::nothing && !std::isfinite(result.loss)) {  // a measurement may be; training may not go on
    throw NumericalError(
        fmt::format("the loss is {} ({}); lower the learning rate or clip the gradient", result.loss, to_string(want)));
  }
  return result;
}

std::size_t Supernet::nodes() const noexcept {
  std::size_t most = 0;
  for (const auto& [key, made] : programs_)
    most = std::max(most, made.executor->plan().nodes().size());
  return most;
}

std::size_t Supernet::recomputed() const noexcept {
  std::size_t most = 0;
  for (const auto& [key, made] : programs_)
    most = std::max(most, made.recomputed);
  return most;
}

}  // namespace dnas::search
