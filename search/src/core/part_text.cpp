#include "dnas/search/config.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace dnas::search {

namespace {

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// The type that a bare value looks like; Options::set converts whole numbers where a number is wanted.
Options::Value guess_value(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  const char* end = text.data() + text.size();
  std::int64_t whole = 0;
  if (const auto r = std::from_chars(text.data(), end, whole); r.ec == std::errc() && r.ptr == end) return whole;
  double number = 0.0;
  if (const auto r = std::from_chars(text.data(), end, number);
      r.ec == std::errc() && r.ptr == end && std::isfinite(number)) {
    return number;
  }
  return std::string(text);
}

/// Splits at commas outside parentheses.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> pieces;
  int depth = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || (text[i] == ',' && depth == 0)) {
      pieces.push_back(trim(text.substr(start, i - start)));
      start = i + 1;
    } else if (text[i] == '(') {
      ++depth;
    } else if (text[i] == ')') {
      --depth;
    }
  }
  return pieces;
}

}  // namespace

PartChoice parse_part(std::string_view text) {
  const auto fail = [&](std::string_view what) -> ConfigError {
    return ConfigError(fmt::format("'{}': {}; expected name or name(option=value, ...)", text, what));
  };
  const std::string_view whole = trim(text);
  const auto open = whole.find('(');
  PartChoice choice{std::string(trim(whole.substr(0, open))), {}};
  if (choice.name.empty()) throw fail("no name");
  if (choice.name.find_first_of("), =") != std::string::npos) throw fail("not a name");
  if (open == std::string_view::npos) return choice;
  if (whole.back() != ')') throw fail("no closing parenthesis at the end");
  const std::string_view inside = trim(whole.substr(open + 1, whole.size() - open - 2));
  if (inside.empty()) return choice;
  for (const std::string_view piece : split(inside)) {
    const auto equals = piece.find('=');
    if (equals == std::string_view::npos) throw fail("an option without '='");
    std::string name(trim(piece.substr(0, equals)));
    if (name.empty()) throw fail("an option without a name");
    for (const auto& [earlier, value] : choice.options) {
      if (earlier == name) throw fail(fmt::format("option '{}' is given twice", name));
    }
    choice.options.emplace_back(std::move(name), guess_value(trim(piece.substr(equals + 1))));
  }
  return choice;
}

std::vector<PartChoice> parse_parts(std::string_view text) {
  std::vector<PartChoice> parts;
  if (trim(text).empty() || trim(text) == "none") return parts;
  for (const std::string_view piece : split(text))
    parts.push_back(parse_part(piece));
  return parts;
}

}  // namespace dnas::search
