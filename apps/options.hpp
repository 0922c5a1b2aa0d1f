#pragma once

#include "dnas/search/config.hpp"

#include <CLI/CLI.hpp>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::apps {

/// The text of a field's value, as set_field() reads it.
[[nodiscard]] std::string field_text(const search::ConfigField& field, const search::SearchConfig& config);

/// Flags for the settings of a search, made from search::config_fields(), and --config and --set. A switch is
/// --name and --no_name, everything else --name VALUE.
class ConfigOptions {
 public:
  /// @param fields  names of the fields that get a flag, in any order; empty: all of them
  ConfigOptions(CLI::App& app, const std::vector<std::string>& fields = {});

  /// Whether a setting was given as a flag, with --set or in the --config file's flags.
  [[nodiscard]] bool given(std::string_view name) const;

  /// The configuration: defaults of the method < config file < --set < flags. The method is found first, by the same
  /// precedence.
  /// @param base       what takes the place of the method's defaults: a stored configuration
  /// @param overrides  settings implied by other flags; a flag of the setting itself wins
  /// @throws ConfigError with one line per problem of the files, flags and the configuration as a whole; MissingError,
  ///         IoError
  [[nodiscard]] search::SearchConfig resolve(
      const std::optional<search::SearchConfig>& base = std::nullopt,
      const std::vector<std::pair<std::string, std::string>>& overrides = {}) const;

 private:
  struct Flag {
    std::string name;
    CLI::Option* option = nullptr;
    std::string text;  // of a value
    bool is_switch = false;
    bool on = false;  // of a switch
  };

  std::deque<Flag> flags_;  // addresses stay: the parser writes to them
  std::string config_file_;
  std::vector<std::string> sets_;
};

}  // namespace dnas::apps
