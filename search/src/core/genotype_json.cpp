#include "core/genotype_json.hpp"

#include "core/genotype_check.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

namespace dnas::search {
namespace {

using nlohmann::json;

[[noreturn]] void fail(std::string_view path, std::string_view what) {
  throw DataError(fmt::format("genotype: {}: {}", path, what));
}

/// `value` must be an object with exactly these keys.
void expect_keys(std::string_view path, const json& value, std::initializer_list<std::string_view> keys) {
  const std::string expected = fmt::format("expected an object with {}", fmt::join(keys, ", "));
  if (!value.is_object()) fail(path, fmt::format("{}, found {}", expected, value.type_name()));
  for (const std::string_view key : keys) {
    if (!value.contains(key)) fail(path, fmt::format("{}; '{}' is missing", expected, key));
  }
  for (const auto& item : value.items()) {
    if (std::find(keys.begin(), keys.end(), item.key()) == keys.end()) {
      fail(path, fmt::format("{}; '{}' is unknown", expected, item.key()));
    }
  }
}

const json& expect_array(std::string_view path, const json& value) {
  if (!value.is_array()) fail(path, fmt::format("expected a list, found {}", value.type_name()));
  return value;
}

int state_number(std::string_view path, const json& value) {
  constexpr int limit = max_cell_inputs + max_cell_nodes;
  // An unsigned number beyond int64 would wrap to a negative one in a signed read.
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > limit) {
    fail(path, fmt::format("expected an integer from 0 to {}", limit));
  }
  return static_cast<int>(value.get<std::uint64_t>());
}

/// Reads the keys that both schemas have.
CellGenotype parse_cell(const std::string& path, const json& value) {
  CellGenotype cell;
  for (const json& edge : expect_array(path + ".edges", value["edges"])) {
    const std::string at = fmt::format("{}.edges[{}]", path, cell.edges.size());
    expect_keys(at, edge, {"op", "from", "to"});
    if (!edge["op"].is_string()) fail(at + ".op", "expected the name of an operation");
    cell.edges.push_back({.op = edge["op"].get<std::string>(),
                          .from = state_number(at + ".from", edge["from"]),
                          .to = state_number(at + ".to", edge["to"])});
  }
  for (const json& state : expect_array(path + ".concat", value["concat"])) {
    cell.concat.push_back(state_number(fmt::format("{}.concat[{}]", path, cell.concat.size()), state));
  }
  return cell;
}

Genotype parse_schema1(const json& document) {
  expect_keys("document", document, {"schema", "normal", "reduce"});
  Genotype genotype;
  for (const std::string name : {"normal", "reduce"}) {
    expect_keys(name, document[name], {"edges", "concat"});
    genotype.cells.push_back({name, parse_cell(name, document[name])});
  }
  return genotype;
}

Genotype parse_schema2(const json& document) {
  expect_keys("document", document, {"schema", "cells"});
  Genotype genotype;
  for (const json& value : expect_array("cells", document["cells"])) {
    const std::string at = fmt::format("cells[{}]", genotype.cells.size());
    expect_keys(at, value, {"name", "inputs", "edges", "concat"});
    if (!value["name"].is_string()) fail(at + ".name", "expected the name of a cell");
    CellGenotype cell = parse_cell(at, value);
    cell.inputs = state_number(at + ".inputs", value["inputs"]);
    genotype.cells.push_back({value["name"].get<std::string>(), std::move(cell)});
  }
  return genotype;
}

}  // namespace

Genotype parse_genotype_json(std::string_view text, std::size_t position) {
  json document;
  try {
    document = json::parse(text);
  } catch (const json::parse_error& error) {
    throw DataError(fmt::format("genotype: not JSON at position {}: {}",
                                position + (error.byte == 0 ? 0 : error.byte - 1), error.what()));
  }
  if (!document.contains("schema")) fail("document", "'schema' is missing, expected 1 or 2");
  if (document["schema"] == 1) return parse_schema1(document);
  if (document["schema"] == 2) return parse_schema2(document);
  fail("schema", fmt::format("expected 1 or 2, found {:.40}", document["schema"].dump()));
}

std::string genotype_json(const Genotype& genotype, int indent) {
  nlohmann::ordered_json cells = nlohmann::ordered_json::array();
  for (const auto& [name, cell] : genotype.cells) {
    nlohmann::ordered_json edges = nlohmann::ordered_json::array();
    for (const GenotypeEdge& edge : cell.edges)
      edges.push_back({{"op", edge.op}, {"from", edge.from}, {"to", edge.to}});
    cells.push_back({{"name", name}, {"inputs", cell.inputs}, {"edges", std::move(edges)}, {"concat", cell.concat}});
  }
  return nlohmann::ordered_json{{"schema", 2}, {"cells", std::move(cells)}}.dump(indent);
}

std::string to_json(const Genotype& genotype) {
  return genotype_json(genotype, 2) + "\n";
}

}  // namespace dnas::search
