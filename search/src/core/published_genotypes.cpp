#include "dnas/engine/registry.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/genotype.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>

namespace dnas::search {
namespace {

/// A cell in short: nodes are divided by " / ", an edge is "operation:predecessor".
struct ShortCell {
  std::string_view nodes;
  std::string_view concat = {};  ///< one digit per state; empty: all nodes that have edges
};

struct Published {
  std::string_view name;
  ShortCell normal;
  ShortCell reduce;
};

struct ShortName {
  std::string_view short_name;
  std::string_view op;
};
constexpr std::array<ShortName, 9> short_names = {{
    {"k", "skip_connect"},
    {"m", "max_pool_3x3"},
    {"a", "avg_pool_3x3"},
    {"s3", "sep_conv_3x3"},
    {"s5", "sep_conv_5x5"},
    {"s7", "sep_conv_7x7"},
    {"d3", "dil_conv_3x3"},
    {"d5", "dil_conv_5x5"},
    {"c7", "conv_7x1_1x7"},
}};

// The architectures are facts of the papers; above them stands the public repository they were read in. NASNet and
// AmoebaNet are the transcriptions of the DARTS repository, whose network differs from that of those papers.
const Published published[] = {
    // quark0/darts:cnn/genotypes.py
    {"DARTS_V1", {"s3:1 s3:0 / k:0 s3:1 / k:0 s3:1 / s3:0 k:2"}, {"m:0 m:1 / k:2 m:0 / m:0 k:2 / k:2 a:0"}},
    {"DARTS_V2", {"s3:0 s3:1 / s3:0 s3:1 / s3:1 k:0 / k:0 d3:2"}, {"m:0 m:1 / k:2 m:1 / m:0 k:2 / k:2 m:1"}},
    // yuhuixu1993/PC-DARTS:genotypes.py
    {"PC_DARTS_cifar",
     {"s3:1 k:0 / s3:0 d3:1 / s5:0 s3:1 / a:0 d3:1"},
     {"s5:1 m:0 / s5:1 s5:2 / s3:0 s3:3 / s3:1 s3:2"}},
    {"PC_DARTS_image",
     {"k:1 s3:0 / s3:0 k:1 / s3:1 s3:3 / s3:1 d5:4"},
     {"s3:0 k:1 / d5:2 m:1 / s3:2 s3:1 / s5:0 s3:3"}},
    // chenxin061/pdarts:genotypes.py
    {"PDARTS", {"k:0 d3:1 / k:0 s3:1 / s3:1 s3:3 / s3:0 d5:4"}, {"a:0 s5:1 / s3:0 d5:2 / m:0 d3:1 / d3:1 d5:3"}},
    // D-X-Y/AutoDL-Projects:xautodl/nas_infer_model/DXYs/genotypes.py
    {"GDAS_V1", {"k:0 k:1 / k:0 s5:2 / s3:3 k:0 / s5:4 s3:3"}, {"s5:0 s3:1 / s5:2 s5:1 / d5:2 s3:1 / s5:0 s5:1"}},
    // SNAS-Series/SNAS-Series:SNAS/genotypes.py
    {"SNAS_mild", {"s3:0 s3:1 / k:0 d3:1 / k:0 k:1 / k:0 s3:1"}, {"m:0 m:1 / m:1 k:2 / m:1 k:2 / m:0 d5:2"}},
    {"SNAS_moderate", {"d5:0 k:1 / s3:0 k:1 / k:0 k:1 / s3:0 d5:1"}, {"m:0 m:1 / s5:0 d5:1 / s5:0 s5:1 / s5:0 s5:1"}},
    // lightaime/sgas:cnn/genotypes.py
    {"SGAS_Cri1_CIFAR_Best",
     {"s3:0 d3:1 / s3:0 s3:1 / s5:1 s5:3 / k:0 d5:2"},
     {"m:0 d5:1 / s3:0 k:2 / s3:1 k:2 / m:0 m:1"}},
    // xiaomi-automl/FairDARTS:fairdarts/genotypes.py
    {"FairDARTS_a", {"s3:0 s5:1 / / m:0 / s3:0"}, {"m:0 a:1 / a:0 d5:1 / a:0 s5:1 / k:0 k:1"}},
    {"FairDARTS_b", {"s3:0 s3:1 / s3:1 / d3:0 s5:1 / d5:1"}, {"k:0 d3:1 / k:0 d3:1 / m:0 s3:1 / k:2 m:0"}},
    {"FairDARTS_c",
     {"m:0 s5:1 / / d3:0 d5:2 / k:3 s3:0"},
     {"d3:1 d5:0 / d3:0 s3:1 / s5:0 s5:3 / s5:0 k:1"}},  // state 3 of the normal cell has no edges
    // xiaomi-automl/NoisyDARTS:genotypes.py
    {"NoisyDARTS_a", {"s3:1 s3:0 / k:0 d3:2 / d3:3 s3:1 / d5:4 d3:3"}, {"m:0 d5:1 / k:2 m:0 / k:2 k:3 / k:2 d5:4"}},
    // iboing/ISTA-NAS:tools/genotypes.py
    {"ISTA_twostage", {"k:0 d3:1 / s5:0 d3:2 / d3:1 s3:0 / s3:2 k:0"}, {"a:0 s5:1 / d5:2 m:1 / d5:3 s3:1 / d5:4 s5:1"}},
    {"ISTA_onestage", {"k:0 d3:1 / s3:1 d5:2 / a:3 s3:1 / s5:1 s3:2"}, {"a:0 m:1 / k:0 m:1 / s5:1 a:0 / m:0 d5:2"}},
    // guyuchao/DOTS:pytorch/genotypes.py
    {"DOTS_C10", {"k:0 s3:1 / s3:0 s3:1 / s3:0 s3:1 / k:1 d3:3"}, {"s3:0 s3:1 / m:0 m:1 / m:0 d5:3 / m:0 d5:4"}},
    // Euphoria16/Shapley-NAS:genotypes.py
    {"Shapley_NAS_cifar10",
     {"s3:0 s3:1 / s3:1 d3:0 / d3:2 k:3 / s3:1 d5:3"},
     {"s3:1 m:0 / d5:2 s3:0 / s3:2 m:0 / d3:3 k:2"}},
    // quark0/darts:cnn/genotypes.py
    {"NASNet",
     {"s5:1 s3:0 / s5:0 s3:0 / a:1 k:0 / a:0 a:0 / s3:1 k:1"},
     {"s5:1 s7:0 / m:1 s7:0 / a:1 s5:0 / k:3 a:2 / s3:2 m:1", "456"}},
    {"AmoebaNet",
     {"a:0 m:1 / s3:0 s5:2 / s3:0 a:3 / s3:1 k:1 / k:0 a:1", "456"},
     {"a:0 s3:1 / m:0 s7:2 / s7:0 a:1 / m:0 m:1 / c7:0 s3:5", "346"}},
    // xiangning-chen/DrNAS
    {"DrNAS_cifar10",
     {"s3:0 s5:1 / s3:1 s3:2 / k:0 s3:1 / s3:2 d5:3"},
     {"m:0 s5:1 / d5:2 s5:1 / s5:1 d5:3 / k:4 s5:1"}},
    {"DrNAS_imagenet",
     {"s3:1 s3:0 / s3:0 s3:1 / s3:0 d3:3 / k:0 s3:1"},
     {"m:0 s3:1 / s3:0 k:2 / s3:0 s3:2 / s3:3 s3:1"}},
};

std::string_view long_name(std::string_view short_name) {
  for (const ShortName& entry : short_names) {
    if (entry.short_name == short_name) return entry.op;
  }
  throw Error(fmt::format("published genotypes: no operation is called '{}' in short", short_name));
}

CellGenotype expand(const ShortCell& cell) {
  CellGenotype result;
  for (const char digit : cell.concat)
    result.concat.push_back(digit - '0');
  int node = 2;
  std::string_view rest = cell.nodes;
  while (!rest.empty()) {
    const std::string_view token = rest.substr(0, rest.find(' '));
    rest.remove_prefix(token.size() < rest.size() ? token.size() + 1 : token.size());
    if (token == "/") {
      ++node;
      continue;
    }
    const std::size_t colon = token.find(':');
    result.edges.push_back({std::string(long_name(token.substr(0, colon))), token.at(colon + 1) - '0', node});
    if (cell.concat.empty() && (result.concat.empty() || result.concat.back() != node)) {
      result.concat.push_back(node);
    }
  }
  return result;
}

}  // namespace

Genotype published_genotype(std::string_view name) {
  for (const Published& entry : published) {
    if (entry.name == name) return {{{"normal", expand(entry.normal)}, {"reduce", expand(entry.reduce)}}};
  }
  const auto names = published_genotype_names();
  const std::string nearest = nearest_match(name, names);
  throw ConfigError(fmt::format("unknown genotype '{}'{}; published ones: {}", name,
                                nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest),
                                fmt::join(names, ", ")));
}

std::vector<std::string> published_genotype_names() {
  std::vector<std::string> names;
  for (const Published& entry : published)
    names.emplace_back(entry.name);
  return names;
}

}  // namespace dnas::search
