#pragma once

#include "dnas/search/component.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::search {

/// Everything that determines a search. Names and defaults of the official DARTS script where it has them.
struct SearchConfig {
  // What is searched, and how. A part is written as its name, or name(option=value, ...).
  std::string method = "darts-v1";
  std::string space = "darts";
  std::string relaxation = "softmax";
  std::string edge_weighting = "sum";
  std::string transforms = "none";  ///< lists are separated by commas
  std::string perturbation = "none";
  std::string bilevel = "alternating";
  std::string arch_optimizer = "adam";
  std::string loss_terms = "none";
  std::string controllers = "cosine";
  std::string discretisation = "top2";

  // Data.
  std::string dataset = "cifar10";
  std::string data = "../data";
  double train_portion = 0.5;  ///< of the training images for the weights; the rest for alpha
  bool augment = true;
  bool cutout = false;
  std::int64_t cutout_length = 16;

  // Network.
  std::int64_t init_channels = 16;
  std::int64_t layers = 8;

  // Optimisation.
  std::int64_t epochs = 50;
  std::int64_t batch_size = 64;
  double learning_rate = 0.025;
  double learning_rate_min = 0.001;
  double momentum = 0.9;
  double weight_decay = 3e-4;
  double grad_clip = 5.0;
  double label_smoothing = 0.0;
  double arch_learning_rate = 3e-4;
  double arch_weight_decay = 1e-3;
  double arch_grad_clip = 0.0;
  std::int64_t arch_every = 1;

  // Run.
  std::int64_t seed = 2;
  std::int64_t threads = 0;         ///< 0: all (Context::cpu)
  bool fusion = true;               ///< run mixed operations as fused nodes
  std::string memory_budget = "0";  ///< of a whole search, "1.5GiB"; 0: none
  std::int64_t max_steps = 0;       ///< steps per epoch, and batches per validation, at most; 0: the whole split
  bool validate = true;             ///< measure accuracy on the architecture split after each epoch
  std::int64_t report_freq = 50;
  std::int64_t checkpoint_steps = 0;  ///< besides the one after each epoch, every so many steps; 0: none
  std::int64_t keep_checkpoints = 2;
};

/// One entry of the configuration: what flags, config files and the resolved configuration share.
struct ConfigField {
  std::string name;  ///< YAML key; the flag is --name, '-' and '_' alike
  std::string help;
  std::string group;  ///< heading in the help text
  std::function<Options::Value(const SearchConfig&)> get;
  std::function<void(SearchConfig&, const Options::Value&)> set;
};

/// All fields, in the order of the help text.
[[nodiscard]] std::span<const ConfigField> config_fields();

/// Sets a field from text. @throws ConfigError on an unknown name (with the nearest match) or a text that does not fit
void set_field(SearchConfig& config, std::string_view name, std::string_view text);

/// Every problem of a configuration, one message each; empty if there is none. Parts, ranges and combinations.
[[nodiscard]] std::vector<std::string> check(const SearchConfig& config);

/// The configuration itself. @throws ConfigError listing its problems, if there are any
const SearchConfig& checked(const SearchConfig& config);

/// What memory_budget leaves for activations when `others` bytes of a search are weights and data; 0: no limit.
/// @throws ConfigError if it leaves nothing
[[nodiscard]] std::size_t arena_budget(const SearchConfig& config, std::size_t others);

/// The fields as a JSON object, in order.
[[nodiscard]] std::string to_json(const SearchConfig& config);
/// @throws DataError
[[nodiscard]] SearchConfig config_from_json(std::string_view json);

/// Reads "name" or "name(option=value, ...)". @throws ConfigError
[[nodiscard]] PartChoice parse_part(std::string_view text);
/// A list of them, separated by commas; "none" is the empty list.
[[nodiscard]] std::vector<PartChoice> parse_parts(std::string_view text);

/// Makes the parts of a list. @throws ConfigError
template <typename Part>
[[nodiscard]] auto make_parts(const Registry<Component<Part>>& registry, std::string_view list) {
  std::vector<std::unique_ptr<Part>> parts;
  for (const PartChoice& choice : parse_parts(list))
    parts.push_back(make_part(registry, choice));
  return parts;
}

}  // namespace dnas::search
