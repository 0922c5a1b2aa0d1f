#include "dnas/search/search_model.hpp"

#include <algorithm>
#include <iterator>

namespace dnas::search {

namespace {

template <typename Part>
std::vector<std::unique_ptr<const Part>> constant(std::vector<std::unique_ptr<Part>> parts) {
  return {std::make_move_iterator(parts.begin()), std::make_move_iterator(parts.end())};
}

/// The member of a list of one part at most; the configuration has been checked.
template <typename Part>
std::unique_ptr<Part> only(std::vector<std::unique_ptr<Part>> parts) {
  return parts.empty() ? nullptr : std::move(parts.front());
}

/// Where steps run few candidates of an edge: a support of as many that takes about as much memory as any, for planning
/// ahead. The last candidates of the spaces are the largest.
Support heaviest_support(const Space& space, const Architecture& architecture, Phase phase) {
  const std::int64_t most = architecture.runs_at_most(phase == Phase::evaluation ? Phase::weight_step : phase);
  Support support;
  if (most == 0) return support;
  for (const ChoiceGroup& group : space.choice_groups()) {
    auto& flags = support.emplace_back(static_cast<std::size_t>(group.rows() * group.columns()), std::uint8_t{0});
    for (std::size_t e = 0; e < group.edges.size(); ++e) {
      const auto candidates = static_cast<std::int64_t>(group.edges[e].candidates.size());
      for (std::int64_t k = std::max<std::int64_t>(0, candidates - most); k < candidates; ++k)
        flags[static_cast<std::size_t>(static_cast<std::int64_t>(e) * group.columns() + k)] = 1;
    }
  }
  return support;
}

}  // namespace

SearchModel::SearchModel(const SearchConfig& config_, const NetworkConfig& network, std::int64_t stage)
    : config(checked(config_)),
      ctx(Context::cpu(static_cast<int>(config.threads))),
      space(make_part(spaces(), parse_part(config.space))),
      net(space, network, static_cast<float>(config.label_smoothing), ctx,
          {.fusion = config.fusion, .memory_budget = 0}, constant(make_parts(transforms(), config.transforms))),
      architecture(*space, make_part(relaxations(), parse_part(config.relaxation)),
                   make_part(edge_weightings(), parse_part(config.edge_weighting)), extra_columns(net.transforms())),
      terms(constant(make_parts(loss_terms(), config.loss_terms))),
      perturbation(only(make_parts(perturbations(), config.perturbation))),
      arch_optimizer(make_part(arch_optimizers(), parse_part(config.arch_optimizer))),
      bilevel(make_part(bilevel_steps(), parse_part(config.bilevel))),
      discretisation(make_part(discretisations(), parse_part(config.discretisation))),
      weights(net.tables().parameters),
      states(net.tables().states),
      optimizer(net.tables().parameters, {.momentum = config.momentum, .weight_decay = config.weight_decay}),
      state{.net = net,
            .architecture = architecture,
            .arch_optimizer = *arch_optimizer,
            .weights = weights,
            .states = states,
            .optimizer = optimizer,
            .loss_terms = terms,
            .perturbation = perturbation.get(),
            .arch_settings = {.learning_rate = config.arch_learning_rate, .weight_decay = config.arch_weight_decay},
            .learning_rate = config.learning_rate,
            .grad_clip = config.grad_clip,
            .arch_grad_clip = config.arch_grad_clip,
            .rates = std::vector<float>(net.transforms().size(), 0.0F),
            .seed = static_cast<std::uint64_t>(config.seed)} {
  // Another stage draws anew: seeds of searches are counted from 0, so these meet none of them.
  const std::uint64_t seed = static_cast<std::uint64_t>(config.seed) + (static_cast<std::uint64_t>(stage) << 48);
  weights.initialise(seed);
  states.initialise(seed);
  architecture.initialise(seed);
  arch_optimizer->prepare(architecture.parameters().size());
  bilevel_bytes_ = bilevel->prepare(net.tables(), architecture.parameters().size());
  begin_epoch(0, schedule_of(config, {}, 0));
}

void SearchModel::prepare_weight_step(std::int64_t batch) {
  const Support support = heaviest_support(*space, architecture, Phase::weight_step);
  net.prepare(Want::weights, batch, support);
  if (!perturbation) return;
  for (const Want want : perturbation->wants())
    net.prepare(want, batch, support);
}

void SearchModel::prepare_arch_step(std::int64_t train_batch, std::int64_t arch_batch) {
  const Support support = heaviest_support(*space, architecture, Phase::arch_step);
  for (const Want want : bilevel->train_wants())
    net.prepare(want, train_batch, support);
  for (const Want want : bilevel->arch_wants())
    net.prepare(want, arch_batch, support);
}

void SearchModel::prepare_validation(std::int64_t batch) {
  net.prepare(Want::nothing, batch, heaviest_support(*space, architecture, Phase::evaluation));
}

std::size_t SearchModel::bytes() const {
  constexpr std::size_t arrays = 3;  // weights, gradient and momentum
  return arrays * weights.flat().size_bytes() + states.flat().size_bytes() + bilevel_bytes_;
}

void SearchModel::begin_epoch(std::int64_t epoch, const Schedule& schedule) {
  state.learning_rate = schedule.learning_rate;
  state.optimizer.set_weight_decay(schedule.weight_decay);
  state.update_alpha = schedule.update_alpha;
  state.tau = schedule.tau;
  state.moment = {.epoch = epoch - schedule.stage_begin, .epochs = schedule.stage_end - schedule.stage_begin};

  std::vector<double> extras;
  if (channel_divisor(net.transforms()) > 1) extras.push_back(1.0);
  for (std::size_t t = 0; t < net.transforms().size(); ++t) {
    const Transform& transform = *net.transforms()[t];
    const double rate = transform.rate(state.moment.epoch, state.moment.epochs).value_or(0.0);
    state.rates[t] = static_cast<float>(rate);
    if (transform.adds_term()) extras.push_back(rate);
  }
  architecture.set_extras(extras);
}

Genotype SearchModel::genotype() {
  state.relax(Phase::expected);
  return discretisation->derive(*space, architecture.shares());
}

const Supernet::Result& SearchModel::validate(const engine::Batch& batch) {
  state.relax(Phase::evaluation);
  return state.evaluate(Want::nothing, Split::architecture, batch, weights.flat(), states.flat());
}

}  // namespace dnas::search
