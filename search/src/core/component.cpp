#include "dnas/search/component.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace dnas::search {
namespace {

[[noreturn]] void throw_wrong_type(std::string_view name, std::string_view expected, const Options::Value& value) {
  throw ConfigError(fmt::format("option '{}' is {}, expected {}", name, type_name(value), expected));
}

}  // namespace

std::string_view type_name(const Options::Value& value) {
  constexpr std::array<std::string_view, 4> names{"true or false", "a whole number", "a number", "text"};
  return names[value.index()];
}

const Options::Value& Options::at(std::string_view name) const {
  const auto it =
      std::find_if(values_.begin(), values_.end(), [&](const auto& option) { return option.first == name; });
  if (it == values_.end()) throw ConfigError(fmt::format("there is no option '{}'", name));
  return it->second;
}

double Options::number(std::string_view name) const {
  const Value& value = at(name);
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  throw_wrong_type(name, "a number", value);
}

std::int64_t Options::integer(std::string_view name) const {
  const Value& value = at(name);
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
  throw_wrong_type(name, "a whole number", value);
}

bool Options::flag(std::string_view name) const {
  const Value& value = at(name);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  throw_wrong_type(name, "true or false", value);
}

const std::string& Options::text(std::string_view name) const {
  const Value& value = at(name);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  throw_wrong_type(name, "text", value);
}

void Options::set(std::string_view where, std::string_view name, const Value& value) {
  const auto it =
      std::find_if(values_.begin(), values_.end(), [&](const auto& option) { return option.first == name; });
  if (it == values_.end()) {
    if (values_.empty()) throw ConfigError(fmt::format("{}: unknown option '{}'; it has no options", where, name));
    std::vector<std::string> names;
    for (const auto& option : values_)
      names.push_back(option.first);
    const std::string nearest = nearest_match(name, names);
    throw ConfigError(fmt::format("{}: unknown option '{}'{}; options: {}", where, name,
                                  nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest),
                                  fmt::join(names, ", ")));
  }
  Value& current = it->second;
  if (value.index() == current.index()) {
    current = value;
  } else if (std::holds_alternative<double>(current) && std::holds_alternative<std::int64_t>(value)) {
    current = static_cast<double>(std::get<std::int64_t>(value));
  } else {
    throw ConfigError(
        fmt::format("{}: option '{}' is {}, expected {}", where, name, type_name(value), type_name(current)));
  }
}

}  // namespace dnas::search
