#include "dnas/search/supernet.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace dnas::search {

namespace {

/// More than a step evaluates without sampling: all kinds of evaluation, on whole and last batches.
constexpr std::size_t kept_programs = 16;

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
    case Want::mixing_inference:
      return "architecture gradient in evaluation mode";
  }
  return "";
}

}  // namespace

Supernet::Supernet(std::shared_ptr<const Space> space, NetworkConfig config, float label_smoothing, Context ctx,
                   const StepOptions& options, std::vector<std::unique_ptr<const Transform>> transforms)
    : space_(std::move(space)),
      config_(config),
      label_smoothing_(label_smoothing),
      ctx_(ctx),
      options_(options),
      transforms_(std::move(transforms)),
      rates_(transforms_.size(), 0.0F) {
  // Declares the tables: their layout must not depend on which evaluation is planned first.
  engine::Graph declared(engine::Mode::train, tables_);
  static_cast<void>(space_->build_supernet(declared, config_, {.transforms = transforms_}));
  for (const ChoiceGroup& group : space_->choice_groups()) {
    mix_names_.push_back("mix_" + group.name);
    dmix_names_.push_back(mixing_gradient(mix_names_.back()));
  }
  gradient_ = std::make_unique<engine::ParameterSet>(tables_.parameters);
}

void Supernet::prepare(Want want, std::int64_t batch, const Support& support) {
  static_cast<void>(program(want, batch, support));
}

Supernet::Program& Supernet::program(Want want, std::int64_t batch, const Support& support) {
  const auto it = std::ranges::find_if(programs_, [&](const Program& made) {
    return made.want == want && made.batch == batch && made.support == support;
  });
  if (it != programs_.end()) {
    programs_.splice(programs_.begin(), programs_, it);
  } else {
    programs_.push_front(make_program(want, batch, support));
    if (programs_.size() > kept_programs) programs_.pop_back();
  }
  return programs_.front();
}

Supernet::Program Supernet::make_program(Want want, std::int64_t batch, const Support& support) {
  NetworkConfig config = config_;
  config.batch = batch;
  const bool want_mixing = want == Want::mixing || want == Want::both || want == Want::mixing_inference;
  const StepRequest request{.weights = want == Want::weights || want == Want::both,
                            .mixing = want_mixing,
                            .inference = want == Want::mixing_inference,
                            .label_smoothing = label_smoothing_};
  const SupernetOptions supernet{.transforms = transforms_, .support = &support};
  const StepPlan step = plan_step([&](engine::Graph& graph) { return space_->build_supernet(graph, config, supernet); },
                                  tables_, request, options_, ctx_);
  Program made{.want = want,
               .batch = batch,
               .support = support,
               .executor = std::make_unique<engine::Executor>(step.plan, ctx_),
               .recomputed = step.recomputed,
               .result = {}};
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

void Supernet::set_inputs(engine::Executor& executor, const engine::Batch& batch, const Mixing& mixing) {
  executor.set_input("images", batch.images);
  executor.set_input("labels", batch.labels);
  for (std::size_t g = 0; g < mix_names_.size(); ++g)
    executor.set_input(mix_names_[g], mixing.weights[g]);
  random_ = {static_cast<std::int64_t>(mixing.seed), static_cast<std::int64_t>(mixing.draw)};
  std::ranges::copy(mixing.rates, rates_.begin());
  for (const std::string& name : executor.plan().graph().inputs()) {
    if (name == "random") executor.set_input(name, TensorView(random_.data(), Shape{2}, DType::i64));
    if (!name.starts_with("rate_")) continue;
    const auto index = static_cast<std::size_t>(std::stoul(name.substr(5)));
    executor.set_input(name, TensorView(rates_.data() + index, Shape{1}));
  }
}

const Supernet::Result& Supernet::evaluate(Want want, const engine::Batch& batch, const Mixing& mixing,
                                           std::span<float> weights, std::span<float> states) {
  if (mixing.weights.size() != space_->choice_groups().size()) {
    throw ShapeError(fmt::format("supernet: {} mixing weight arrays given, expected {} (one per choice group)",
                                 mixing.weights.size(), space_->choice_groups().size()));
  }
  if (mixing.rates.size() > rates_.size()) {
    throw ShapeError(
        fmt::format("supernet: {} rates given, expected one per transform ({})", mixing.rates.size(), rates_.size()));
  }
  static const Support everything;
  const Support& support = mixing.support == nullptr ? everything : *mixing.support;
  Program& made = program(want, batch.images.shape[0], support);
  allocate();
  engine::Executor& executor = *made.executor;
  const std::span<std::byte> arena(arena_.data(), arena_.bytes());
  executor.bind({arena, weights, gradient_->flat(), states});
  set_inputs(executor, batch, mixing);
  if (!support.empty() && (want == Want::weights || want == Want::both)) std::ranges::fill(gradient_->flat(), 0.0F);
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
  for (const Program& made : programs_)
    most = std::max(most, made.executor->plan().nodes().size());
  return most;
}

std::size_t Supernet::recomputed() const noexcept {
  std::size_t most = 0;
  for (const Program& made : programs_)
    most = std::max(most, made.recomputed);
  return most;
}

}  // namespace dnas::search
