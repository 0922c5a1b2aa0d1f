#include "core/svg_picture.hpp"

#include <cstddef>
#include <iterator>

namespace dnas::search {
namespace {

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

std::string label_markup(std::string_view label) {
  const std::size_t brace = label.find("_{");
  if (brace == std::string_view::npos) return escaped(label);
  return fmt::format("<tspan font-style=\"italic\">{}</tspan><tspan dy=\"4\" font-size=\"10\">{}</tspan>",
                     escaped(label.substr(0, brace)), escaped(label.substr(brace + 2, label.size() - brace - 3)));
}

}  // namespace

void SvgPicture::add_line(std::string_view colour, const std::string& path) {
  fmt::format_to(std::back_inserter(lines_), "<path stroke=\"{}\" d=\"{}\"/>\n", colour, path);
}

void SvgPicture::arrow_head(Point tip, std::string_view colour, std::string_view shape) {
  fmt::format_to(std::back_inserter(lines_), "<path stroke=\"none\" fill=\"{}\" d=\"M{:.1f} {:.1f}{}\"/>\n", colour,
                 tip.x, tip.y, shape);
}

void SvgPicture::arrow_right(Point tip, std::string_view colour) {
  arrow_head(tip, colour, "l-8 -4v8z");
}

void SvgPicture::arrow_down(Point tip, std::string_view colour) {
  arrow_head(tip, colour, "l-4 -8h8z");
}

void SvgPicture::box(double x, double y, double width, double height, double radius, std::string_view colour,
                     std::string_view label) {
  fmt::format_to(std::back_inserter(boxes_),
                 "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" fill=\"{}\"/>"
                 "<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                 x, y, width, height, radius, colour, x + width / 2, y + height / 2 + 4, label_markup(label));
}

std::string SvgPicture::text(double width, double height, std::string_view title) const {
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
             "height=\"{1:.0f}\" role=\"img\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" "
             "font-size=\"12\">\n<title>{2}</title>\n"
             "<text x=\"{3:.0f}\" y=\"{4:.0f}\" font-size=\"15\" font-weight=\"bold\" fill=\"{5}\">{2}</text>\n",
             width, height, escaped(title), margin, margin + 12, "#7d868f") +
         "<g fill=\"none\" stroke-width=\"1.8\">\n" + lines_ + "</g>\n<g text-anchor=\"middle\" fill=\"#ffffff\">\n" +
         boxes_ + "</g>\n</svg>\n";
}

}  // namespace dnas::search
