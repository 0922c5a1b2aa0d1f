#pragma once

#include "dnas/engine/registry.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace dnas::search {

/// Options of a component: names, types and values, in the order they are listed.
class Options {
 public:
  using Value = std::variant<bool, std::int64_t, double, std::string>;

  Options() = default;
  Options(std::initializer_list<std::pair<std::string, Value>> values) : values_(values) {}

  [[nodiscard]] const std::vector<std::pair<std::string, Value>>& values() const noexcept { return values_; }
  [[nodiscard]] bool empty() const noexcept { return values_.empty(); }

  /// @throws ConfigError if there is no such option or it has another type (an integer serves as a number)
  [[nodiscard]] double number(std::string_view name) const;
  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] bool flag(std::string_view name) const;
  [[nodiscard]] const std::string& text(std::string_view name) const;

  /// Replaces an option's value, keeping its type. `where` starts the message.
  /// @throws ConfigError if there is no such option (with the nearest match) or the type differs
  void set(std::string_view where, std::string_view name, const Value& value);

 private:
  [[nodiscard]] const Value& at(std::string_view name) const;
  std::vector<std::pair<std::string, Value>> values_;
};

/// What a value is, for messages: "a whole number".
[[nodiscard]] std::string_view type_name(const Options::Value& value);

/// A member of a family of interchangeable parts: how it is called, where it is from, what can be set, how it is made.
template <typename Part>
struct Component {
  std::string name;    ///< file stem, config value and heading in the docs
  std::string help;    ///< one line
  std::string source;  ///< the paper or code it follows
  Options defaults;
  std::function<std::unique_ptr<Part>(const Options&)> make;
};

/// What a configuration says about one part: which member, and options that differ from its defaults.
struct PartChoice {
  std::string name;
  std::vector<std::pair<std::string, Options::Value>> options;
};

/// Makes a part. @throws ConfigError on an unknown name or option
template <typename Part>
[[nodiscard]] std::unique_ptr<Part> make_part(const Registry<Component<Part>>& registry, const PartChoice& choice) {
  const Component<Part>& component = registry.at(choice.name);
  Options options = component.defaults;
  for (const auto& [name, value] : choice.options)
    options.set(registry.family() + " " + choice.name, name, value);
  return component.make(options);
}

}  // namespace dnas::search
