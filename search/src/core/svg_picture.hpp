#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace dnas::search {

/// The SVG of a drawing of boxes and arrows: boxes lie above the lines, coordinates are pixels at the natural size.
class SvgPicture {
 public:
  static constexpr double margin = 16;
  static constexpr double title_height = 34;
  static constexpr std::string_view grey = "#6b737b";

  struct Point {
    double x = 0;
    double y = 0;
  };

  /// A curve, in the language of SVG paths.
  template <typename... Args>
  void line(std::string_view colour, fmt::format_string<Args...> path, Args... args) {
    add_line(colour, fmt::format(path, std::forward<Args>(args)...));
  }
  void arrow_right(Point tip, std::string_view colour);
  void arrow_down(Point tip, std::string_view colour);

  /// @param label  "c_{k}" gets its index as a subscript
  void box(double x, double y, double width, double height, double radius, std::string_view colour,
           std::string_view label);

  /// The whole file.
  [[nodiscard]] std::string text(double width, double height, std::string_view title) const;

 private:
  void add_line(std::string_view colour, const std::string& path);
  void arrow_head(Point tip, std::string_view colour, std::string_view shape);

  std::string lines_;
  std::string boxes_;
};

}  // namespace dnas::search
