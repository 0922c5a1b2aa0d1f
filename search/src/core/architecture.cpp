#include "dnas/search/architecture.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace dnas::search {

namespace {

constexpr std::int64_t floats_per_line = static_cast<std::int64_t>(Buffer::alignment / sizeof(float));
constexpr float absent = -std::numeric_limits<float>::infinity();

std::int64_t padded(std::int64_t floats) {
  return (floats + floats_per_line - 1) / floats_per_line * floats_per_line;
}

/// The first columns of each row of `from` into those of `to`, as many as both have.
void copy_columns(const TensorView& from, const TensorView& to, float scale = 1.0F) {
  const std::int64_t columns = std::min(from.shape[1], to.shape[1]);
  for (std::int64_t row = 0; row < from.shape[0]; ++row) {
    for (std::int64_t k = 0; k < columns; ++k)
      to.f32()[row * to.shape[1] + k] = scale * from.f32()[row * from.shape[1] + k];
  }
}

void clear(const TensorView& values) {
  std::fill_n(values.f32(), values.elements(), 0.0F);
}

}  // namespace

Architecture::Architecture(const Space& space, std::unique_ptr<const Relaxation> relaxation,
                           std::unique_ptr<const EdgeWeighting> edge_weighting, std::int64_t extra_columns)
    : groups_(&space.choice_groups()),
      relaxation_(std::move(relaxation)),
      edge_weighting_(std::move(edge_weighting)),
      extra_columns_(extra_columns),
      extras_(static_cast<std::size_t>(extra_columns), 1.0) {
  std::int64_t count = 0;
  std::int64_t memory = 0;
  for (const ChoiceGroup& group : *groups_) {
    const std::int64_t entries = group.rows() * group.columns();
    const std::int64_t wide = group.rows() * (group.columns() + extra_columns);
    count += padded(entries) + padded(edge_weighting_->parameters(group));
    memory += 5 * padded(entries) + 3 * padded(wide);
  }
  count_ = static_cast<std::size_t>(count);
  parameters_ = Buffer(count_ * sizeof(float));
  gradient_ = Buffer(count_ * sizeof(float));
  before_ = Buffer(count_ * sizeof(float));
  memory_ = Buffer(static_cast<std::size_t>(memory) * sizeof(float));

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

  float* place = memory_.f32().data();
  const auto take = [&](const Shape& shape) {
    const TensorView view(place, shape);
    place += padded(shape.elements());
    return view;
  };
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    const ChoiceGroup& group = (*groups_)[g];
    const Shape entries = alpha(g).values.shape;
    const Shape wide{group.rows(), group.columns() + extra_columns};
    weights_.push_back(take(entries));
    dweights_.push_back(take(entries));
    dalpha_.push_back(take(entries));
    shares_.push_back(take(entries));
    RelaxationInput input;
    input.alpha = take(entries);
    input.first_element = static_cast<std::uint64_t>(g) << 32;
    input.choices = &group;
    inputs_.push_back(input);
    wide_.push_back(take(wide));
    dwide_.push_back(take(wide));
    mix_.push_back(take(wide));

    std::vector<std::uint8_t>& flags = present_.emplace_back(static_cast<std::size_t>(entries.elements()), 0);
    for (std::size_t e = 0; e < group.edges.size(); ++e) {
      std::fill_n(flags.begin() + static_cast<std::ptrdiff_t>(e) * group.columns(), group.edges[e].candidates.size(),
                  std::uint8_t{1});
    }
  }
}

void Architecture::initialise(std::uint64_t seed) {
  std::ranges::fill(parameters(), 0.0F);
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    const Philox random(seed, Stream::alpha_init, static_cast<std::uint32_t>(alpha_[g]));
    const TensorView& values = alpha(g).values;
    const std::int64_t columns = values.shape[1];
    for (std::int64_t i = 0; i < values.elements(); ++i) {
      const std::vector<std::string>& candidates =
          (*groups_)[g].edges[static_cast<std::size_t>(i / columns)].candidates;
      const Relaxation::Start start = relaxation_->start(static_cast<std::int64_t>(candidates.size()));
      const float noise = random.normal(static_cast<std::uint64_t>(i));
      values.f32()[i] = static_cast<float>(start.mean) + static_cast<float>(start.deviation) * noise;
    }
    if (beta_[g] >= 0) {
      edge_weighting_->start((*groups_)[g], Philox(seed, Stream::alpha_init, static_cast<std::uint32_t>(beta_[g])),
                             beta(g));
    }
  }
}

void Architecture::set_present(std::size_t group, std::int64_t edge, std::int64_t candidate, bool is_present) {
  const ChoiceGroup& choices = (*groups_)[group];
  if (edge < 0 || edge >= choices.rows() || candidate < 0 ||
      candidate >= static_cast<std::int64_t>(choices.edges[static_cast<std::size_t>(edge)].candidates.size())) {
    throw ConfigError(fmt::format("architecture: '{}' has no candidate {} on edge {}", choices.name, candidate, edge));
  }
  present_[group][static_cast<std::size_t>(edge * choices.columns() + candidate)] = is_present ? 1 : 0;
}

void Architecture::set_present(std::size_t group, std::span<const std::uint8_t> flags) {
  const ChoiceGroup& choices = (*groups_)[group];
  if (flags.size() != present_[group].size()) {
    throw ShapeError(fmt::format("architecture: {} flags for '{}', expected {}", flags.size(), choices.name,
                                 present_[group].size()));
  }
  for (std::size_t i = 0; i < flags.size(); ++i) {
    if (flags[i] == present_[group][i]) continue;
    const auto entry = static_cast<std::int64_t>(i);
    set_present(group, entry / choices.columns(), entry % choices.columns(), flags[i] != 0);
  }
}

void Architecture::set_extras(std::span<const double> coefficients) {
  if (coefficients.size() != extras_.size()) {
    throw ShapeError(
        fmt::format("architecture: {} extra coefficients, expected {}", coefficients.size(), extras_.size()));
  }
  std::ranges::copy(coefficients, extras_.begin());
}

void Architecture::relax(const Context& ctx, const Draw& draw) {
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    RelaxationInput& in = inputs_[g];
    in.tau = draw.tau;
    in.phase = draw.phase;
    in.noise = Philox(draw.seed, Stream::relaxation, draw.number);
    const float* values = alpha(g).values.f32();
    for (std::size_t i = 0; i < present_[g].size(); ++i)
      in.alpha.f32()[i] = present_[g][i] != 0 ? values[i] : absent;
    relaxation_->forward(ctx, in, weights_[g]);
  }
  update_support();
  combine(ctx);
}

void Architecture::update_support() {
  support_.resize(groups_->size());
  everything_runs_ = true;
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    support_[g].resize(present_[g].size());
    relaxation_->support(inputs_[g], weights_[g], support_[g]);
    for (std::size_t e = 0; e < (*groups_)[g].edges.size(); ++e) {
      const auto row = support_[g].begin() + static_cast<std::ptrdiff_t>(e) * (*groups_)[g].columns();
      const auto count = static_cast<std::ptrdiff_t>((*groups_)[g].edges[e].candidates.size());
      everything_runs_ = everything_runs_ && std::find(row, row + count, std::uint8_t{0}) == row + count;
    }
  }
}

void Architecture::combine(const Context& ctx) {
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    copy_columns(weights_[g], wide_[g]);
    const std::int64_t columns = wide_[g].shape[1];
    for (std::int64_t row = 0; row < wide_[g].shape[0]; ++row) {
      for (std::int64_t x = 0; x < extra_columns_; ++x) {
        wide_[g].f32()[row * columns + columns - extra_columns_ + x] =
            static_cast<float>(extras_[static_cast<std::size_t>(x)]);
      }
    }
    edge_weighting_->forward(ctx, (*groups_)[g], wide_[g], beta(g), mix_[g]);
    copy_columns(mix_[g], shares_[g]);
  }
}

void Architecture::combine_back(const Context& ctx, std::span<const TensorView> dmix, double scale) {
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    if (!dmix[g]) continue;
    copy_columns(dmix[g], dwide_[g], static_cast<float>(scale));
    edge_weighting_->backward(ctx, (*groups_)[g], wide_[g], beta(g), dwide_[g], dwide_[g], beta_gradient(g));
    copy_columns(dwide_[g], dweights_[g]);
  }
}

void Architecture::backward(const Context& ctx, std::span<const TensorView> dmix) {
  static_cast<void>(backward(ctx, dmix, 0.0, {}, {}));
}

double Architecture::backward(const Context& ctx, std::span<const TensorView> dmix, double loss, LossTerms terms,
                              const LossTerm::Moment& moment) {
  if (dmix.size() != groups_->size()) {
    throw ShapeError(fmt::format("architecture: {} gradients given, expected one per choice group ({})", dmix.size(),
                                 groups_->size()));
  }
  std::ranges::fill(gradient(), 0.0F);
  std::vector<LossTerm::Group> views;
  std::vector<std::vector<float>> term_gradients;  // with respect to the weights
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    clear(dweights_[g]);
    clear(dalpha_[g]);
    if (terms.empty()) continue;
    const Shape& shape = weights_[g].shape;
    term_gradients.emplace_back(static_cast<std::size_t>(shape.elements()), 0.0F);
    views.push_back(
        {&(*groups_)[g], inputs_[g].alpha, weights_[g], dalpha_[g], TensorView(term_gradients[g].data(), shape)});
  }
  // The terms come first: one may scale what the cross-entropy contributes.
  LossTerm::Sum sum{.value = loss, .scale = 1.0};
  for (const auto& term : terms)
    term->add(ctx, moment, views, sum);

  combine_back(ctx, dmix, sum.scale);
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    if (!dmix[g] && terms.empty()) continue;
    for (std::size_t i = 0; !terms.empty() && i < term_gradients[g].size(); ++i)
      dweights_[g].f32()[i] += term_gradients[g][i];
    const TensorView& dalpha = alpha(g).gradient;
    relaxation_->backward(ctx, inputs_[g], weights_[g], dweights_[g], dalpha);
    for (std::int64_t i = 0; i < dalpha.elements(); ++i)
      dalpha.f32()[i] += dalpha_[g].f32()[i];
  }
  return sum.value;
}

void Architecture::before_update() {
  std::ranges::copy(parameters(), before_.f32().begin());
}

void Architecture::updated() {
  const std::span<const float> before = before_.f32().first(count_);
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    const TensorView& values = alpha(g).values;
    RelaxationInput input = inputs_[g];  // as it was drawn; what was there before
    for (std::size_t i = 0; i < present_[g].size(); ++i) {
      const auto position = static_cast<std::size_t>(values.f32() - parameters_.f32().data()) + i;
      input.alpha.f32()[i] = present_[g][i] != 0 ? before[position] : absent;
      if (present_[g][i] == 0) values.f32()[i] = before[position];  // weight decay does not move what is gone
    }
    relaxation_->updated(input, values);
    if (beta_[g] >= 0) edge_weighting_->updated((*groups_)[g], beta(g));
  }
}

TensorView Architecture::beta(std::size_t group) const {
  return beta_[group] < 0 ? TensorView{} : tensors_[static_cast<std::size_t>(beta_[group])].values;
}

TensorView Architecture::beta_gradient(std::size_t group) const {
  return beta_[group] < 0 ? TensorView{} : tensors_[static_cast<std::size_t>(beta_[group])].gradient;
}

}  // namespace dnas::search
