#include "dnas/search/architecture.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace dnas::search {

namespace {

constexpr std::int64_t floats_per_line = static_cast<std::int64_t>(Buffer::alignment / sizeof(float));
constexpr float init_scale = 1e-3F;  // as the official code; the paper starts at zero

std::int64_t padded(std::int64_t floats) {
  return (floats + floats_per_line - 1) / floats_per_line * floats_per_line;
}

}  // namespace

Architecture::Architecture(const Space& space, std::unique_ptr<const Relaxation> relaxation,
                           std::unique_ptr<const EdgeWeighting> edge_weighting)
    : groups_(&space.choice_groups()), relaxation_(std::move(relaxation)), edge_weighting_(std::move(edge_weighting)) {
  std::int64_t count = 0;
  std::int64_t scratch = 0;
  for (const ChoiceGroup& group : *groups_) {
    const std::int64_t entries = group.rows() * group.columns();
    count += padded(entries) + padded(edge_weighting_->parameters(group));
    scratch += 3 * padded(entries);
  }
  count_ = static_cast<std::size_t>(count);
  parameters_ = Buffer(count_ * sizeof(float));
  gradient_ = Buffer(count_ * sizeof(float));
  weights_memory_ = Buffer(static_cast<std::size_t>(scratch) * sizeof(float));

  std::int64_t offset = 0;
  const auto add_tensor = [&](std::string name, const Shape& shape) {
    tensors_.push_back(
        {std::move(name), {parameters_.f32().data() + offset, shape}, {gradient_.f32().data() + offset, shape}});
    offset += padded(shape.elements());
  };
  for (const ChoiceGroup& group : *groups_) {
    alpha_.push_back(tensors_.size());
    add_tensor("alphas_" + group.name, {group.rows(), group.columns()});
  }
  for (const ChoiceGroup& group : *groups_) {
    const std::int64_t betas = edge_weighting_->parameters(group);
    beta_.push_back(betas > 0 ? static_cast<int>(tensors_.size()) : -1);
    if (betas > 0) add_tensor("betas_" + group.name, {betas});
  }

  float* memory = weights_memory_.f32().data();
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    const TensorView& alpha = tensors_[alpha_[g]].values;
    for (auto* views : {&weights_, &mix_, &dweights_}) {
      views->emplace_back(memory, alpha.shape);
      memory += padded(alpha.elements());
    }
    RelaxationInput input;
    input.alpha = alpha;
    input.first_element = static_cast<std::uint64_t>(g) << 32;
    inputs_.push_back(input);
  }
}

void Architecture::initialise(std::uint64_t seed) {
  for (std::size_t t = 0; t < tensors_.size(); ++t) {
    const Philox random(seed, Stream::alpha_init, static_cast<std::uint32_t>(t));
    float* values = tensors_[t].values.f32();
    for (std::int64_t i = 0; i < tensors_[t].values.elements(); ++i) {
      values[i] = init_scale * random.normal(static_cast<std::uint64_t>(i));
    }
  }
}

void Architecture::relax(const Context& ctx, std::uint64_t seed, std::uint32_t step) {
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    inputs_[g].noise = Philox(seed, Stream::relaxation, step);
    relaxation_->forward(ctx, inputs_[g], weights_[g]);
    const TensorView beta = beta_[g] < 0 ? TensorView{} : tensors_[static_cast<std::size_t>(beta_[g])].values;
    edge_weighting_->forward(ctx, (*groups_)[g], weights_[g], beta, mix_[g]);
  }
}

void Architecture::backward(const Context& ctx, std::span<const TensorView> dmix) {
  if (dmix.size() != groups_->size()) {
    throw ShapeError(fmt::format("architecture: {} gradients given, expected one per choice group ({})", dmix.size(),
                                 groups_->size()));
  }
  std::ranges::fill(gradient(), 0.0F);
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    if (!dmix[g]) continue;
    const bool has_beta = beta_[g] >= 0;
    const Tensor* beta = has_beta ? &tensors_[static_cast<std::size_t>(beta_[g])] : nullptr;
    edge_weighting_->backward(ctx, (*groups_)[g], weights_[g], has_beta ? beta->values : TensorView{}, dmix[g],
                              dweights_[g], has_beta ? beta->gradient : TensorView{});
    relaxation_->backward(ctx, inputs_[g], weights_[g], dweights_[g], tensors_[alpha_[g]].gradient);
  }
}

}  // namespace dnas::search
