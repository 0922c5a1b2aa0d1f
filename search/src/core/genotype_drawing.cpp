#include "core/genotype_drawing.hpp"

#include "dnas/search/genotype.hpp"

#include <fmt/format.h>

#include <iterator>
#include <set>

namespace dnas::search {
namespace {

std::string dot_quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c == '\n' || c == '\r' ? ' ' : c;
  }
  return quoted + "\"";
}

}  // namespace

std::string_view operation_colour(std::string_view op) {
  if (op.starts_with("sep_conv")) return "#2f6fb5";
  if (op.starts_with("dil_conv")) return "#7a55b0";
  if (op.find("conv") != std::string_view::npos) return "#1d7f74";
  if (op.find("pool") != std::string_view::npos) return "#b3611a";
  if (op == "skip_connect") return "#4d7f35";
  return "#6b737b";
}

std::string state_label(int state, int inputs) {
  if (state < inputs) return fmt::format("c_{{k-{}}}", inputs - state);
  return std::to_string(state - inputs);
}

std::string draw_dot(const CellGenotype& cell, std::string_view title) {
  std::string dot = fmt::format("digraph {} {{\n", dot_quoted(title));
  dot += "  rankdir=LR;\n";
  dot += "  node [shape=box, style=\"rounded,filled\", fillcolor=\"#6b737b\", color=\"#6b737b\", fontcolor=white, ";
  dot += "fontname=\"Helvetica\"];\n";
  dot += "  edge [fontname=\"Helvetica\", fontsize=11];\n";
  std::set<int> states;
  for (int state = 0; state < cell.inputs; ++state)
    states.insert(state);
  for (const GenotypeEdge& edge : cell.edges)
    states.insert({edge.from, edge.to});
  for (const int state : states) {
    fmt::format_to(std::back_inserter(dot), "  s{} [label={}];\n", state, dot_quoted(state_label(state, cell.inputs)));
  }
  dot += "  out [label=\"c_{k}\"];\n";
  for (const GenotypeEdge& edge : cell.edges) {
    const std::string_view colour = operation_colour(edge.op);
    fmt::format_to(std::back_inserter(dot), "  s{} -> s{} [label={}, color=\"{}\", fontcolor=\"{}\"];\n", edge.from,
                   edge.to, dot_quoted(edge.op), colour, colour);
  }
  for (const int state : cell.concat) {
    fmt::format_to(std::back_inserter(dot), "  s{} -> out [color=\"#6b737b\"];\n", state);
  }
  return dot + "}\n";
}

}  // namespace dnas::search
