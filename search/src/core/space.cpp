#include "dnas/search/space.hpp"

#include "core/genotype_check.hpp"
#include "core/mixed_operations.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::search {
namespace {

void check_positive(std::string_view key, std::int64_t value) {
  if (value < 1) throw ConfigError(fmt::format("network: {} is {}, expected at least 1", key, value));
}

void check_config(const NetworkConfig& config) {
  check_positive("init_channels", config.init_channels);
  check_positive("layers", config.layers);
  check_positive("classes", config.classes);
  check_positive("batch", config.batch);
  if (config.image.rank() != 3 || config.image.elements() == 0) {
    throw ShapeError(fmt::format("network: image is {}, expected [H, W, C]", config.image.to_string()));
  }
}

}  // namespace

NetworkValues Space::build_supernet(engine::Graph& graph, const NetworkConfig& config,
                                    const SupernetOptions& options) const {
  check_config(config);
  if (config.auxiliary)
    throw ConfigError("network: a supernet has no auxiliary classifier; only derived networks have");
  MixedOperations mixed(graph, choice_groups(), options);
  NetworkValues values = do_build_supernet(graph, config, mixed);
  values.mixing = mixed.mixing();
  return values;
}

NetworkValues Space::build_derived(engine::Graph& graph, const NetworkConfig& config, const Genotype& genotype) const {
  check_config(config);
  if (const auto problem = genotype_problem(genotype)) throw ConfigError("genotype: " + *problem);
  return do_build_derived(graph, config, genotype);
}

}  // namespace dnas::search
