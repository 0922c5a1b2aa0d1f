#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dnas::search {

/// One kept edge of a cell: `op` applied to state `from`, added to state `to`. States 0 and 1 are the cell's
/// inputs, 2.. its nodes.
struct GenotypeEdge {
  std::string op;
  int from = 0;
  int to = 0;
  friend bool operator==(const GenotypeEdge&, const GenotypeEdge&) = default;
};

/// A discrete cell. Edges are grouped by `to`, ascending; within a node the order is by decreasing strength.
struct CellGenotype {
  std::vector<GenotypeEdge> edges;
  std::vector<int> concat;  ///< states that form the output
  friend bool operator==(const CellGenotype&, const CellGenotype&) = default;
};

/// The result of a search in a cell space.
struct Genotype {
  CellGenotype normal;
  CellGenotype reduce;
  friend bool operator==(const Genotype&, const Genotype&) = default;
};

/// The official text: Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...],
/// reduce_concat=...). A concat that is a run of consecutive states prints as range(a, b), as the official code logs
/// it.
/// @throws ConfigError if a node has not exactly two edges (the text cannot say so; use JSON)
[[nodiscard]] std::string to_text(const Genotype& genotype);

/// JSON with a schema version: {"schema": 1, "normal": {"edges": [{"op": ..., "from": 0, "to": 2}, ...], "concat":
/// [...]}, ...}.
[[nodiscard]] std::string to_json(const Genotype& genotype);

/// Reads either form; in the text, concat may be range(a, b) or a list, and "NAME = " may stand before it. Parsed by a
/// grammar, nothing is evaluated. Checks that predecessors come before their node, that every operation is known,
/// that text has two edges per node, and that concat names existing nodes.
/// @throws DataError with the position and what was expected
[[nodiscard]] Genotype parse_genotype(std::string_view text);

/// A published cell by name ("DARTS_V2"). @throws ConfigError naming the choices
[[nodiscard]] Genotype published_genotype(std::string_view name);
[[nodiscard]] std::vector<std::string> published_genotype_names();

/// A drawing of a cell: a self-contained SVG picture, and Graphviz source.
[[nodiscard]] std::string draw_svg(const CellGenotype& cell, std::string_view title);
[[nodiscard]] std::string draw_dot(const CellGenotype& cell, std::string_view title);

}  // namespace dnas::search
