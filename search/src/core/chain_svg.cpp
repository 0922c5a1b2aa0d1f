#include "core/chain_svg.hpp"

#include "core/genotype_drawing.hpp"
#include "core/svg_picture.hpp"

#include <algorithm>
#include <cstddef>

namespace dnas::search {

std::string draw_chain_svg(const CellGenotype& cell, std::string_view title) {
  constexpr double character_width = 7.3;
  constexpr double box_padding = 12;
  constexpr double box_height = 24;
  constexpr double gap = 18;
  constexpr double radius = 6;

  std::size_t longest = std::max<std::size_t>(title.size(), 8);  // c_{k-1}
  for (const GenotypeEdge& edge : cell.edges)
    longest = std::max(longest, edge.op.size());
  const double width = static_cast<double>(longest) * character_width + 2 * box_padding;
  const double middle = SvgPicture::margin + width / 2;

  SvgPicture picture;
  double top = SvgPicture::margin + SvgPicture::title_height;
  const auto box = [&](std::string_view colour, std::string_view label) {
    picture.box(SvgPicture::margin, top, width, box_height, radius, colour, label);
    top += box_height;
  };
  const auto arrow = [&](std::string_view colour) {
    picture.line(colour, "M{:.1f} {:.1f}V{:.1f}", middle, top, top + gap - 5);
    top += gap;
    picture.arrow_down({middle, top}, colour);
  };
  box(SvgPicture::grey, state_label(0, cell.inputs));
  for (const GenotypeEdge& edge : cell.edges) {
    const std::string_view colour = operation_colour(edge.op);
    arrow(colour);
    box(colour, edge.op);
  }
  arrow(SvgPicture::grey);
  box(SvgPicture::grey, "c_{k}");
  return picture.text(width + 2 * SvgPicture::margin, top + SvgPicture::margin, title);
}

}  // namespace dnas::search
