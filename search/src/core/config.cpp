#include "dnas/search/config.hpp"

#include "dnas/engine/dataset.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/arch_optimizer.hpp"
#include "dnas/search/bilevel_step.hpp"
#include "dnas/search/controller.hpp"
#include "dnas/search/discretisation.hpp"
#include "dnas/search/edge_weighting.hpp"
#include "dnas/search/method.hpp"
#include "dnas/search/relaxation.hpp"
#include "dnas/search/space.hpp"

#include "core/byte_size.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace dnas::search {

namespace {

using Json = nlohmann::ordered_json;

template <typename T>
ConfigField field(const char* name, const char* group, T SearchConfig::*member, const char* help) {
  return {name, help, group, [member](const SearchConfig& config) { return Options::Value(config.*member); },
          [member](SearchConfig& config, const Options::Value& value) { config.*member = std::get<T>(value); }};
}

std::vector<ConfigField> make_fields() {
  using C = SearchConfig;
  const char* parts = "What is searched, and how";
  const char* data = "Data";
  const char* network = "Network";
  const char* optimisation = "Optimisation";
  const char* run = "Run";
  return {
      field("method", parts, &C::method, "published method whose parts and settings are the defaults"),
      field("space", parts, &C::space, "search space"),
      field("relaxation", parts, &C::relaxation, "how alpha becomes mixing weights"),
      field("edge_weighting", parts, &C::edge_weighting, "how the edges of a node are combined"),
      field("transforms", parts, &C::transforms, "what the mixed operation is changed to (a list; none)"),
      field("perturbation", parts, &C::perturbation, "what is done to the mixing weights in the weight step; none"),
      field("bilevel", parts, &C::bilevel, "how the two gradients are formed and ordered"),
      field("arch_optimizer", parts, &C::arch_optimizer, "how alpha is updated"),
      field("loss_terms", parts, &C::loss_terms, "what is added to the architecture step's loss (a list; none)"),
      field("controllers", parts, &C::controllers, "what changes over the epochs (a list, separated by commas)"),
      field("discretisation", parts, &C::discretisation, "how the supernet becomes a genotype"),

      field("dataset", data, &C::dataset, "data set"),
      field("data", data, &C::data, "folder with the data set's files"),
      field("train_portion", data, &C::train_portion, "part of the training images that trains the weights, in (0, 1)"),
      field("augment", data, &C::augment, "random crops and flips, as the data set defines them"),
      field("cutout", data, &C::cutout, "cut a random square out of each training image"),
      field("cutout_length", data, &C::cutout_length, "side of that square, pixels"),

      field("init_channels", network, &C::init_channels, "channels of the first cell"),
      field("layers", network, &C::layers, "number of cells"),

      field("epochs", optimisation, &C::epochs, "passes over the weight split"),
      field("batch_size", optimisation, &C::batch_size, "images per step, of each split"),
      field("learning_rate", optimisation, &C::learning_rate, "of the weights, at the start"),
      field("learning_rate_min", optimisation, &C::learning_rate_min, "of the weights, at the end"),
      field("momentum", optimisation, &C::momentum, "of the weights' SGD"),
      field("weight_decay", optimisation, &C::weight_decay, "of the weights"),
      field("grad_clip", optimisation, &C::grad_clip, "largest norm of the weights' gradient; 0: no clipping"),
      field("label_smoothing", optimisation, &C::label_smoothing, "in [0, 1)"),
      field("arch_learning_rate", optimisation, &C::arch_learning_rate, "of alpha"),
      field("arch_weight_decay", optimisation, &C::arch_weight_decay, "of alpha"),
      field("arch_grad_clip", optimisation, &C::arch_grad_clip, "largest norm of alpha's gradient; 0: no clipping"),
      field("arch_every", optimisation, &C::arch_every, "weight steps per architecture step"),

      field("seed", run, &C::seed, "of every random draw"),
      field("threads", run, &C::threads, "CPU threads; 0: all. Results do not depend on it"),
      field("fusion", run, &C::fusion, "run mixed operations as fused nodes: faster, results differ by rounding only"),
      field("memory_budget", run, &C::memory_budget,
            "memory of the whole search, as 1.5GiB or 800MiB; what does not fit is computed again; 0: no limit"),
      field("max_steps", run, &C::max_steps,
            "steps per epoch, and batches per validation, at most; 0: the whole split"),
      field("validate", run, &C::validate, "measure accuracy on the architecture split after each epoch"),
      field("report_freq", run, &C::report_freq, "steps between log lines"),
      field("checkpoint_steps", run, &C::checkpoint_steps,
            "steps between checkpoints, besides the one after each epoch; 0: none"),
      field("keep_checkpoints", run, &C::keep_checkpoints, "how many of the newest to keep"),
  };
}

const ConfigField& find_field(std::string_view name) {
  const auto fields = config_fields();
  const auto it = std::find_if(fields.begin(), fields.end(), [&](const ConfigField& f) { return f.name == name; });
  if (it != fields.end()) return *it;
  std::vector<std::string> names;
  for (const ConfigField& f : fields)
    names.push_back(f.name);
  const std::string nearest = nearest_match(name, names);
  throw ConfigError(fmt::format("unknown setting '{}'{}", name,
                                nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest)));
}

template <typename T>
bool parse_number(std::string_view text, T& value) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

/// Text as a value of the same type as `like`. std::nullopt if it does not fit.
std::optional<Options::Value> parse_value(std::string_view text, const Options::Value& like) {
  if (std::holds_alternative<bool>(like)) {
    if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
    if (text == "false" || text == "no" || text == "off" || text == "0") return false;
    return std::nullopt;
  }
  if (std::holds_alternative<std::int64_t>(like)) {
    std::int64_t value = 0;
    if (parse_number(text, value)) return value;
    return std::nullopt;
  }
  if (std::holds_alternative<double>(like)) {
    double value = 0.0;
    if (parse_number(text, value) && std::isfinite(value)) return value;
    return std::nullopt;
  }
  return std::string(text);
}

/// Whether a JSON number is whole and fits; reading a larger one would wrap around.
bool is_int64(const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max();
  return value.is_number_integer();
}

}  // namespace

std::span<const ConfigField> config_fields() {
  static const std::vector<ConfigField> fields = make_fields();
  return fields;
}

void set_field(SearchConfig& config, std::string_view name, std::string_view text) {
  const ConfigField& f = find_field(name);
  const Options::Value like = f.get(config);
  const auto value = parse_value(text, like);
  if (!value) throw ConfigError(fmt::format("{}: '{}' is not {}", name, text, type_name(like)));
  f.set(config, *value);
}

std::string to_json(const SearchConfig& config) {
  Json json;
  for (const ConfigField& f : config_fields()) {
    std::visit([&](const auto& value) { json[f.name] = value; }, f.get(config));
  }
  // A path need not be UTF-8; its other bytes become U+FFFD.
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

SearchConfig config_from_json(std::string_view text) {
  SearchConfig config;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw DataError("configuration: not a JSON object");
  for (const auto& [name, value] : json.items()) {
    const ConfigField* f = nullptr;
    try {
      f = &find_field(name);
    } catch (const ConfigError& error) {
      throw DataError(fmt::format("configuration: {}", error.what()));
    }
    const Options::Value like = f->get(config);
    if (std::holds_alternative<bool>(like) && value.is_boolean()) {
      f->set(config, value.get<bool>());
    } else if (std::holds_alternative<std::int64_t>(like) && is_int64(value)) {
      f->set(config, value.get<std::int64_t>());
    } else if (std::holds_alternative<double>(like) && value.is_number()) {
      f->set(config, value.get<double>());
    } else if (std::holds_alternative<std::string>(like) && value.is_string()) {
      f->set(config, value.get<std::string>());
    } else {
      throw DataError(fmt::format("configuration: {} is {}, expected {}", name, value.dump(), type_name(like)));
    }
  }
  return config;
}

std::size_t arena_budget(const SearchConfig& config, std::size_t others) {
  const std::size_t budget = parse_bytes("memory_budget", config.memory_budget);
  if (budget == 0 || budget > others) return budget == 0 ? 0 : budget - others;
  throw ConfigError(fmt::format(
      "memory_budget is '{}', but weights and data alone need {} bytes; allow more (B, KiB, MiB, GiB or TiB)",
      config.memory_budget, others));
}

}  // namespace dnas::search
