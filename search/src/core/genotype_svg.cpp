#include "core/genotype_drawing.hpp"
#include "dnas/search/genotype.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

// Layout: the nodes stand on a staircase, each one step to the right of and below the one before. The operations of a
// node are boxes to its left, one below the other. An edge from a cell input runs to the box at the height of the box,
// an edge from a node falls straight below the node and turns right. Left of and below the staircase there is nothing
// but lines, so no line runs under a box and no two boxes meet, however many nodes and edges there are.
namespace dnas::search {
namespace {

constexpr std::string_view grey = "#6b737b";

// Pixels at the natural size; everything scales with the viewBox.
constexpr double margin = 16;
constexpr double title_height = 34;
constexpr double input_width = 64;
constexpr double input_height = 34;
constexpr double gutter = 96;  // inputs to the first operations: room for the curves
constexpr double character_width = 7.3;
constexpr double box_padding = 12;
constexpr double box_height = 24;
constexpr double box_gap = 10;
constexpr double row_gap = 22;
constexpr double arrow_gap = 26;  // operation to node, node to the next operation
constexpr double node_size = 36;
constexpr double track = 8;  // between the lines that leave one node
constexpr double output_gap = 44;
constexpr double corner = 14;

struct Point {
  double x = 0;
  double y = 0;
};

struct Row {
  int state = 0;
  std::vector<const GenotypeEdge*> edges;
  Point node;  ///< centre
};

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        // Other control characters are not allowed in XML, whatever their form.
        result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return result;
}

/// "c_{k-2}" with its index as a subscript.
std::string label_markup(std::string_view label) {
  const std::size_t brace = label.find("_{");
  if (brace == std::string_view::npos) return escaped(label);
  return fmt::format("<tspan font-style=\"italic\">{}</tspan><tspan dy=\"4\" font-size=\"10\">{}</tspan>",
                     escaped(label.substr(0, brace)), escaped(label.substr(brace + 2, label.size() - brace - 3)));
}

class Drawing {
 public:
  Drawing(const CellGenotype& cell, std::string_view title) : cell_(cell), title_(title) {
    std::size_t longest = 4;
    for (const GenotypeEdge& edge : cell.edges) {
      if (rows_.empty() || rows_.back().state != edge.to) rows_.push_back({.state = edge.to, .edges = {}, .node = {}});
      rows_.back().edges.push_back(&edge);
      longest = std::max(longest, edge.op.size());
      if (edge.from >= 2) ++readers_[edge.from];
    }
    box_width_ = static_cast<double>(longest) * character_width + 2 * box_padding;
    place_nodes();
  }

  std::string svg() {
    draw_edges();
    draw_output();
    draw_states();
    const double width = output_.x + input_width / 2 + margin;
    return fmt::format(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
               "height=\"{1:.0f}\" role=\"img\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" "
               "font-size=\"12\">\n<title>{2}</title>\n"
               "<text x=\"{3:.0f}\" y=\"{4:.0f}\" font-size=\"15\" font-weight=\"bold\" fill=\"{5}\">{2}</text>\n",
               width, bottom_ + margin, escaped(title_), margin, margin + 12, "#7d868f") +
           "<g fill=\"none\" stroke-width=\"1.8\">\n" + lines_ + "</g>\n<g text-anchor=\"middle\" fill=\"#ffffff\">\n" +
           boxes_ + "</g>\n</svg>\n";
  }

 private:
  void place_nodes() {
    double top = margin + title_height;
    double left = margin + input_width + gutter;
    for (Row& row : rows_) {
      const double boxes = static_cast<double>(row.edges.size()) * (box_height + box_gap) - box_gap;
      const double height = std::max(boxes, node_size);
      row.node = {left + box_width_ + arrow_gap + node_size / 2, top + height / 2};
      top += height + row_gap;
      left += box_width_ + 2 * arrow_gap + node_size;
    }
    const double first = margin + title_height;
    bottom_ = std::max(top - row_gap, first + 2 * input_height + row_gap);
    const double last_node = rows_.empty() ? left : rows_.back().node.x + node_size / 2;
    output_ = {last_node + output_gap + input_width / 2, (first + bottom_) / 2};
    const double middle = (first + bottom_) / 2;
    const double apart = std::max(input_height + row_gap, (bottom_ - first) * 0.4);
    inputs_[0] = {margin + input_width / 2, middle - apart / 2};
    inputs_[1] = {margin + input_width / 2, middle + apart / 2};
  }

  [[nodiscard]] const Row* row_of(int state) const {
    const auto it = std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return row.state == state; });
    return it == rows_.end() ? nullptr : &*it;
  }

  void draw_edges() {
    std::map<int, int> drawn;
    for (const Row& row : rows_) {
      const double box_left = row.node.x - node_size / 2 - arrow_gap - box_width_;
      const auto count = static_cast<double>(row.edges.size());
      for (std::size_t i = 0; i < row.edges.size(); ++i) {
        const GenotypeEdge& edge = *row.edges[i];
        const std::string_view colour = operation_colour(edge.op);
        const double offset = (static_cast<double>(i) - (count - 1) / 2) * (box_height + box_gap);
        const double y = row.node.y + offset;
        if (edge.from < 2) {
          draw_from_input(inputs_[edge.from], {box_left, y}, colour);
        } else if (const Row* source = row_of(edge.from)) {
          draw_from_node(*source, readers_[edge.from], drawn[edge.from]++, {box_left, y}, colour);
        }
        box(box_left, y - box_height / 2, box_width_, box_height, 6, colour, escaped(edge.op));
        // From the operation into the node, arrows of several edges fanning in.
        const double end = std::clamp(offset, -node_size / 4, node_size / 4);
        const double from_x = box_left + box_width_;
        const double to_x = row.node.x - node_size / 2;
        const double half = (from_x + to_x) / 2;
        line(colour, "M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}", from_x, y, half, y, half,
             row.node.y + end, to_x - 5, row.node.y + end);
        arrow_head({to_x, row.node.y + end}, colour);
      }
    }
  }

  void draw_from_input(Point input, Point box, std::string_view colour) {
    const double start = input.x + input_width / 2;
    const double end = start + gutter - 14;
    const double half = (start + end) / 2;
    line(colour, "M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}H{:.1f}", start, input.y, half, input.y, half,
         box.y, end, box.y, box.x - 5);
    arrow_head(box, colour);
  }

  void draw_from_node(const Row& source, int readers, int index, Point box, std::string_view colour) {
    const double spread = std::min(track, (node_size - 8) / std::max(1, readers - 1));
    // The first reader is the nearest one, and its line turns right first: it takes the right-most track.
    const double x = source.node.x + ((readers - 1) / 2.0 - index) * spread;
    line(colour, "M{:.1f} {:.1f}V{:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}H{:.1f}", x, source.node.y + node_size / 2,
         box.y - corner, x, box.y, x + corner, box.y, box.x - 5);
    arrow_head(box, colour);
  }

  void draw_output() {
    const double left = output_.x - input_width / 2;
    for (const int state : cell_.concat) {
      if (const Row* row = row_of(state)) {
        line(grey, "M{:.1f} {:.1f}H{:.1f}", row->node.x + node_size / 2, row->node.y, left - 5);
        arrow_head({left, row->node.y}, grey);
      }
    }
    const double top = margin + title_height;
    box(left, top, input_width, bottom_ - top, 8, grey, label_markup("c_{k}"));
  }

  void draw_states() {
    for (int i = 0; i < 2; ++i) {
      box(margin, inputs_[i].y - input_height / 2, input_width, input_height, 8, grey, label_markup(state_label(i)));
    }
    for (const Row& row : rows_) {
      box(row.node.x - node_size / 2, row.node.y - node_size / 2, node_size, node_size, 10, grey,
          label_markup(state_label(row.state)));
    }
  }

  template <typename... Args>
  void line(std::string_view colour, fmt::format_string<Args...> path, Args... args) {
    fmt::format_to(std::back_inserter(lines_), "<path stroke=\"{}\" d=\"{}\"/>\n", colour,
                   fmt::format(path, std::forward<Args>(args)...));
  }

  void arrow_head(Point tip, std::string_view colour) {
    fmt::format_to(std::back_inserter(lines_), "<path stroke=\"none\" fill=\"{}\" d=\"M{:.1f} {:.1f}l-8 -4v8z\"/>\n",
                   colour, tip.x, tip.y);
  }

  void box(double x, double y, double width, double height, double radius, std::string_view colour,
           std::string_view markup) {
    fmt::format_to(std::back_inserter(boxes_),
                   "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" fill=\"{}\"/>"
                   "<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                   x, y, width, height, radius, colour, x + width / 2, y + height / 2 + 4, markup);
  }

  const CellGenotype& cell_;
  std::string_view title_;
  std::vector<Row> rows_;
  std::map<int, int> readers_;  // by node: edges that start there
  double box_width_ = 0;
  double bottom_ = 0;
  Point inputs_[2];
  Point output_;  // centre
  std::string lines_;
  std::string boxes_;
};

}  // namespace

std::string draw_svg(const CellGenotype& cell, std::string_view title) {
  return Drawing(cell, title).svg();
}

}  // namespace dnas::search
