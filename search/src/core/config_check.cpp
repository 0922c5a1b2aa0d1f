#include "dnas/engine/dataset.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/arch_optimizer.hpp"
#include "dnas/search/bilevel_step.hpp"
#include "dnas/search/config.hpp"
#include "dnas/search/controller.hpp"
#include "dnas/search/discretisation.hpp"
#include "dnas/search/edge_weighting.hpp"
#include "dnas/search/loss_term.hpp"
#include "dnas/search/method.hpp"
#include "dnas/search/perturbation.hpp"
#include "dnas/search/relaxation.hpp"
#include "dnas/search/space.hpp"
#include "dnas/search/transform.hpp"

#include "core/byte_size.hpp"
#include "core/config_combinations.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace dnas::search {

std::vector<std::string> check(const SearchConfig& config) {
  std::vector<std::string> problems;
  const auto attempt = [&](auto&& action) {
    try {
      action();
    } catch (const Error& error) {
      problems.emplace_back(error.what());
    }
  };
  const auto part = [&](const auto& registry, const std::string& text) {
    attempt([&] { static_cast<void>(make_part(registry, parse_part(text))); });
  };
  attempt([&] { static_cast<void>(methods().at(config.method)); });
  part(spaces(), config.space);
  part(relaxations(), config.relaxation);
  part(edge_weightings(), config.edge_weighting);
  part(bilevel_steps(), config.bilevel);
  part(arch_optimizers(), config.arch_optimizer);
  part(discretisations(), config.discretisation);
  const auto list = [&](const auto& registry, const std::string& text) {
    attempt([&] { static_cast<void>(make_parts(registry, text)); });
  };
  list(transforms(), config.transforms);
  list(perturbations(), config.perturbation);
  attempt([&] {
    if (parse_parts(config.perturbation).size() > 1)
      throw ConfigError(fmt::format("perturbation is '{}', expected one or none", config.perturbation));
  });
  list(loss_terms(), config.loss_terms);
  list(controllers(), config.controllers);
  attempt([&] { static_cast<void>(engine::datasets().at(config.dataset)); });
  if (problems.empty()) problems = combination_problems(config);  // of parts that there are

  const auto require = [&](bool holds, std::string_view name, auto value, std::string_view expected) {
    if (!holds) problems.push_back(fmt::format("{} is {}, expected {}", name, value, expected));
  };
  constexpr std::int64_t limit = 1'000'000'000;
  const auto in_range = [&](std::string_view name, std::int64_t value, std::int64_t low, std::int64_t high) {
    require(value >= low && value <= high, name, value, fmt::format("{} to {}", low, high));
  };
  attempt([&] { static_cast<void>(parse_bytes("memory_budget", config.memory_budget)); });
  in_range("init_channels", config.init_channels, 1, 4096);
  in_range("layers", config.layers, 1, 1000);
  in_range("epochs", config.epochs, 1, limit);
  in_range("batch_size", config.batch_size, 1, 1 << 20);
  in_range("report_freq", config.report_freq, 1, limit);
  in_range("keep_checkpoints", config.keep_checkpoints, 1, limit);
  in_range("checkpoint_steps", config.checkpoint_steps, 0, limit);
  in_range("max_steps", config.max_steps, 0, limit);
  in_range("threads", config.threads, 0, 4096);
  in_range("seed", config.seed, 0, std::numeric_limits<std::int64_t>::max());
  in_range("cutout_length", config.cutout_length, 1, 4096);
  require(config.train_portion > 0.0 && config.train_portion < 1.0, "train_portion", config.train_portion,
          "more than 0 and less than 1");
  require(config.label_smoothing >= 0.0 && config.label_smoothing < 1.0, "label_smoothing", config.label_smoothing,
          "0 to less than 1");
  require(config.momentum >= 0.0 && config.momentum < 1.0, "momentum", config.momentum, "0 to less than 1");
  require(config.learning_rate > 0.0, "learning_rate", config.learning_rate, "more than 0");
  require(config.learning_rate_min >= 0.0 && config.learning_rate_min <= config.learning_rate, "learning_rate_min",
          config.learning_rate_min, "0 to learning_rate");
  require(config.weight_decay >= 0.0, "weight_decay", config.weight_decay, "0 or more");
  require(config.grad_clip >= 0.0, "grad_clip", config.grad_clip, "0 (no clipping) or more");
  require(config.arch_learning_rate >= 0.0, "arch_learning_rate", config.arch_learning_rate, "0 or more");
  require(config.arch_weight_decay >= 0.0, "arch_weight_decay", config.arch_weight_decay, "0 or more");
  require(config.arch_grad_clip >= 0.0, "arch_grad_clip", config.arch_grad_clip, "0 (no clipping) or more");
  in_range("arch_every", config.arch_every, 1, limit);
  if (config.cutout && !config.augment) {
    problems.emplace_back("cutout is an augmentation, but augment is false; set augment or leave cutout out");
  }
  return problems;
}

const SearchConfig& checked(const SearchConfig& config) {
  const std::vector<std::string> problems = check(config);
  if (!problems.empty()) throw ConfigError(fmt::format("{}", fmt::join(problems, "\n")));
  return config;
}

}  // namespace dnas::search
