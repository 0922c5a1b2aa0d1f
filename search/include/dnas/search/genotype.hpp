#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dnas::search {

/// One kept edge of a cell: `op` applied to state `from`, added to state `to`. The first states are the cell's inputs,
/// the others its nodes.
struct GenotypeEdge {
  std::string op;
  int from = 0;
  int to = 0;
  friend bool operator==(const GenotypeEdge&, const GenotypeEdge&) = default;
};

/// A discrete cell. Edges are grouped by `to`, ascending; within a node the order is by decreasing strength where there
/// is one. A node may have no edges: it has no value, and neither has what comes from it (pruned()).
struct CellGenotype {
  std::vector<GenotypeEdge> edges;
  std::vector<int> concat;  ///< states that form the output
  int inputs = 2;           ///< states 0 to inputs - 1
  friend bool operator==(const CellGenotype&, const CellGenotype&) = default;
};

struct NamedCell {
  std::string name;
  CellGenotype cell;
  friend bool operator==(const NamedCell&, const NamedCell&) = default;
};

/// The result of a search: the cells of a space, in its order. "normal" and "reduce" with two inputs each in the DARTS
/// space; "cell" with one in NAS-Bench-201; a space that chooses an operation for each layer has one cell "layers" of
/// one input, whose edge i leads from state i to state i + 1.
struct Genotype {
  std::vector<NamedCell> cells;

  /// nullptr if there is none of this name
  [[nodiscard]] const CellGenotype* find(std::string_view name) const noexcept;
  /// @throws ConfigError naming the cells there are
  [[nodiscard]] const CellGenotype& cell(std::string_view name) const;
  [[nodiscard]] CellGenotype& cell(std::string_view name);

  friend bool operator==(const Genotype&, const Genotype&) = default;
};

/// The genotype on one line, in the form that published code has for it:
///   - cells "normal" and "reduce" with two inputs and two edges at each node, as DARTS logs them:
///     Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=...);
///   - the same cells with other numbers of edges, as FairDARTS writes them: tuples (operation, to, from);
///   - one cell "cell" with one input, all edges and its last state as output, as NAS-Bench-201 writes it:
///     |op~0|+|op~0|op~1|+|op~0|op~1|op~2|;
///   - everything else as JSON.
/// A concat that is a run of consecutive states prints as range(a, b).
[[nodiscard]] std::string to_text(const Genotype& genotype);

/// JSON with a schema version, on several lines: {"schema": 2, "cells": [{"name": "normal", "inputs": 2, "edges":
/// [{"op": ..., "from": 0, "to": 2}, ...], "concat": [...]}, ...]}.
[[nodiscard]] std::string to_json(const Genotype& genotype);

/// Reads every form of to_text() and to_json(), and JSON of schema 1 ({"schema": 1, "normal": {"edges": ..., "concat":
/// ...}, "reduce": ...}). Concat may be range(a, b) or a list, and "NAME = " may stand before the genotype. Parsed by a
/// grammar, nothing is evaluated. The result is sound: known operations, edges grouped by node and from earlier states,
/// concat of nodes.
/// @throws DataError with the position and what was expected
[[nodiscard]] Genotype parse_genotype(std::string_view text);

/// The part of a sound cell that has a value: without the edges that come from a node without one, and with the states
/// of concat that have one. The network of a cell is that of its pruned cell.
[[nodiscard]] CellGenotype pruned(const CellGenotype& cell);

/// A published cell by name ("DARTS_V2"). @throws ConfigError naming the choices
[[nodiscard]] Genotype published_genotype(std::string_view name);
[[nodiscard]] std::vector<std::string> published_genotype_names();

/// A drawing of a cell: a self-contained SVG picture, and Graphviz source.
[[nodiscard]] std::string draw_svg(const CellGenotype& cell, std::string_view title);
[[nodiscard]] std::string draw_dot(const CellGenotype& cell, std::string_view title);

}  // namespace dnas::search
