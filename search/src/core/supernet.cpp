#include "dnas/search/supernet.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/fusion.hpp"
#include "dnas/engine/nodes.hpp"
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
                   bool fusion)
    : space_(std::move(space)), config_(config), label_smoothing_(label_smoothing), ctx_(ctx), fusion_(fusion) {
  // Declares the tables: their layout must not depend on which evaluation is planned first.
  engine::Graph declared(engine::Mode::train, tables_);
  static_cast<void>(space_->build_supernet(declared, config_));
  for (const ChoiceGroup& group : space_->choice_groups()) {
    mix_names_.push_back("mix_" + group.name);
    dmix_names_.push_back("dmix_" + group.name);
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
  auto graph =
      std::make_shared<engine::Graph>(want == Want::nothing ? engine::Mode::eval : engine::Mode::train, tables_);
  NetworkValues values = space_->build_supernet(*graph, config);
  const engine::ValueId labels = graph->input("labels", {Shape{batch}, DType::i64});
  graph->output("loss", engine::nodes::cross_entropy(*graph, values.logits, labels, label_smoothing_));
  graph->output("logits", values.logits);
  if (fusion_) {
    engine::FusedGraph fused = engine::fuse_mixed_operations(*graph);
    for (engine::ValueId& mix : values.mixing)
      mix = fused.at(mix);
    graph = std::move(fused.graph);
  }
  const bool want_mixing = want == Want::mixing || want == Want::both;
  if (want != Want::nothing) {
    engine::GradientRequest request;
    request.parameters = want == Want::weights || want == Want::both;
    if (want_mixing) request.inputs = values.mixing;
    const std::vector<engine::ValueId> gradients = engine::append_backward(*graph, graph->output("loss"), request);
    for (std::size_t g = 0; g < gradients.size(); ++g) {
      if (gradients[g] != engine::no_value) graph->output(dmix_names_[g], gradients[g]);
    }
  }

  const auto plan = std::make_shared<engine::Plan>(graph, ctx_);
  Program& made = programs_[{want, batch}];
  made.executor = std::make_unique<engine::Executor>(plan, ctx_);
  made.result.dmix.resize(want_mixing ? space_->choice_groups().size() : 0);
  if (plan->arena_bytes() > arena_bytes_) {
    arena_bytes_ = plan->arena_bytes();
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
    result.dmix[g] = outputs.contains(dmix_names_[g]) ? executor.output(dmix_names_[g]) : TensorView{};
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

}  // namespace dnas::search
