#include "core/chain_svg.hpp"
#include "core/genotype_check.hpp"
#include "core/genotype_drawing.hpp"
#include "core/svg_picture.hpp"
#include "dnas/search/genotype.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

// Layout: the nodes stand on a staircase, each one step to the right of and below the one before. The operations of a
// node are boxes to its left, one below the other. An edge from a cell input runs to the box at the height of the box,
// an edge from a node falls straight below the node and turns right. Left of and below the staircase there is nothing
// but lines, so no line runs under a box and no two boxes meet, however many nodes and edges there are.
namespace dnas::search {
namespace {

using Point = SvgPicture::Point;

constexpr std::string_view grey = SvgPicture::grey;

// Pixels at the natural size; everything scales with the viewBox.
constexpr double margin = SvgPicture::margin;
constexpr double title_height = SvgPicture::title_height;
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

struct Row {
  int state = 0;
  std::vector<const GenotypeEdge*> edges;
  Point node;  ///< centre
};

class Drawing {
 public:
  Drawing(const CellGenotype& cell, std::string_view title)
      : cell_(cell), title_(title), inputs_(static_cast<std::size_t>(cell.inputs)) {
    std::size_t longest = 4;
    for (const GenotypeEdge& edge : cell.edges) {
      if (rows_.empty() || rows_.back().state != edge.to) rows_.push_back({.state = edge.to, .edges = {}, .node = {}});
      rows_.back().edges.push_back(&edge);
      longest = std::max(longest, edge.op.size());
      if (edge.from >= cell.inputs) ++readers_[edge.from];
    }
    box_width_ = static_cast<double>(longest) * character_width + 2 * box_padding;
    place_nodes();
  }

  std::string svg() {
    draw_edges();
    draw_output();
    draw_states();
    const double width = output_.x + input_width / 2 + margin;
    return picture_.text(width, bottom_ + margin, title_);
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
    const auto count = static_cast<double>(inputs_.size());
    bottom_ = std::max(top - row_gap, first + count * (input_height + row_gap) - row_gap);
    const double last_node = rows_.empty() ? left : rows_.back().node.x + node_size / 2;
    output_ = {last_node + output_gap + input_width / 2, (first + bottom_) / 2};
    const double middle = (first + bottom_) / 2;
    // Two inputs stand at 0.3 and 0.7 of the height, more of them closer together but never one on the other.
    const double apart = std::max(input_height + row_gap, (bottom_ - first) * 0.8 / count);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      inputs_[i] = {margin + input_width / 2, middle + (static_cast<double>(i) - (count - 1) / 2) * apart};
    }
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
        if (edge.from < cell_.inputs) {
          draw_from_input(inputs_[static_cast<std::size_t>(edge.from)], {box_left, y}, colour);
        } else if (const Row* source = row_of(edge.from)) {
          draw_from_node(*source, readers_[edge.from], drawn[edge.from]++, {box_left, y}, colour);
        }
        picture_.box(box_left, y - box_height / 2, box_width_, box_height, 6, colour, edge.op);
        // From the operation into the node, arrows of several edges fanning in.
        const double end = std::clamp(offset, -node_size / 4, node_size / 4);
        const double from_x = box_left + box_width_;
        const double to_x = row.node.x - node_size / 2;
        const double half = (from_x + to_x) / 2;
        picture_.line(colour, "M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}", from_x, y, half, y, half,
                      row.node.y + end, to_x - 5, row.node.y + end);
        picture_.arrow_right({to_x, row.node.y + end}, colour);
      }
    }
  }

  void draw_from_input(Point input, Point box, std::string_view colour) {
    const double start = input.x + input_width / 2;
    const double end = start + gutter - 14;
    const double half = (start + end) / 2;
    picture_.line(colour, "M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}H{:.1f}", start, input.y, half,
                  input.y, half, box.y, end, box.y, box.x - 5);
    picture_.arrow_right(box, colour);
  }

  void draw_from_node(const Row& source, int readers, int index, Point box, std::string_view colour) {
    const double spread = std::min(track, (node_size - 8) / std::max(1, readers - 1));
    // The first reader is the nearest one, and its line turns right first: it takes the right-most track.
    const double x = source.node.x + ((readers - 1) / 2.0 - index) * spread;
    picture_.line(colour, "M{:.1f} {:.1f}V{:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}H{:.1f}", x, source.node.y + node_size / 2,
                  box.y - corner, x, box.y, x + corner, box.y, box.x - 5);
    picture_.arrow_right(box, colour);
  }

  void draw_output() {
    const double left = output_.x - input_width / 2;
    for (const int state : cell_.concat) {
      if (const Row* row = row_of(state)) {
        picture_.line(grey, "M{:.1f} {:.1f}H{:.1f}", row->node.x + node_size / 2, row->node.y, left - 5);
        picture_.arrow_right({left, row->node.y}, grey);
      }
    }
    const double top = margin + title_height;
    picture_.box(left, top, input_width, bottom_ - top, 8, grey, "c_{k}");
  }

  void draw_states() {
    for (int i = 0; i < cell_.inputs; ++i) {
      picture_.box(margin, inputs_[static_cast<std::size_t>(i)].y - input_height / 2, input_width, input_height, 8,
                   grey, state_label(i, cell_.inputs));
    }
    for (const Row& row : rows_) {
      picture_.box(row.node.x - node_size / 2, row.node.y - node_size / 2, node_size, node_size, 10, grey,
                   state_label(row.state, cell_.inputs));
    }
  }

  const CellGenotype& cell_;
  std::string_view title_;
  std::vector<Row> rows_;
  std::map<int, int> readers_;  // by node: edges that start there
  double box_width_ = 0;
  double bottom_ = 0;
  std::vector<Point> inputs_;
  Point output_;  // centre
  SvgPicture picture_;
};

}  // namespace

std::string draw_svg(const CellGenotype& cell, std::string_view title) {
  if (is_chain(cell)) return draw_chain_svg(cell, title);
  return Drawing(cell, title).svg();
}

}  // namespace dnas::search
