#include "options.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/search/method.hpp"
#include "yaml_config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>
#include <variant>

namespace dnas::apps {
namespace {

using search::SearchConfig;

/// A setting and where it was found ("file.yaml:3: ", "").
struct Setting {
  std::string name;
  std::string value;
  std::string where;
};

std::string type_name(const search::Options::Value& value) {
  if (std::holds_alternative<std::int64_t>(value)) return "N";
  if (std::holds_alternative<double>(value)) return "X";
  return "TEXT";
}

/// The last value that was given for a setting.
const Setting* last(const std::vector<Setting>& settings, std::string_view name) {
  const auto found =
      std::find_if(settings.rbegin(), settings.rend(), [&](const Setting& setting) { return setting.name == name; });
  return found == settings.rend() ? nullptr : &*found;
}

}  // namespace

std::string field_text(const search::ConfigField& field, const SearchConfig& config) {
  // Numbers are the shortest text that reads back as the same number.
  return std::visit([](const auto& value) { return fmt::format("{}", value); }, field.get(config));
}

ConfigOptions::ConfigOptions(CLI::App& app, const std::vector<std::string>& fields) {
  const SearchConfig defaults;
  const std::string files = "Configuration";
  app.add_option("--config", config_file_, "YAML file with settings, one 'name: value' per line")
      ->type_name("FILE")
      ->group(files);
  app.add_option("--set", sets_, "One setting as name=value; may be repeated")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(files);
  for (const search::ConfigField& field : search::config_fields()) {
    if (!fields.empty() && std::find(fields.begin(), fields.end(), field.name) == fields.end()) continue;
    Flag& flag = flags_.emplace_back();
    flag.name = field.name;
    const std::string help = fmt::format("{} [{}]", field.help, field_text(field, defaults));
    flag.is_switch = std::holds_alternative<bool>(field.get(defaults));
    if (flag.is_switch) {
      flag.option = app.add_flag(fmt::format("--{0},!--no_{0}", field.name), flag.on, help);
    } else {
      flag.option = app.add_option("--" + field.name, flag.text, help)->type_name(type_name(field.get(defaults)));
    }
    flag.option->group(field.group);
  }
}

bool ConfigOptions::given(std::string_view name) const {
  return std::any_of(flags_.begin(), flags_.end(),
                     [&](const Flag& flag) { return flag.name == name && flag.option->count() > 0; });
}

SearchConfig ConfigOptions::resolve(const std::optional<SearchConfig>& base,
                                    const std::vector<std::pair<std::string, std::string>>& overrides) const {
  std::vector<std::string> problems;
  std::vector<Setting> settings;  // in the order of precedence, the strongest last
  if (!config_file_.empty()) {
    YamlConfig file = read_yaml_config(config_file_);
    problems = std::move(file.problems);
    for (YamlSetting& setting : file.settings)
      settings.push_back(
          {std::move(setting.key), std::move(setting.value), fmt::format("{}:{}: ", config_file_, setting.line)});
  }
  for (const std::string& text : sets_) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      problems.push_back(fmt::format("--set '{}': expected name=value", text));
      continue;
    }
    std::string name = text.substr(0, equals);
    std::replace(name.begin(), name.end(), '-', '_');
    settings.push_back({std::move(name), text.substr(equals + 1), "--set: "});
  }
  for (const auto& [name, value] : overrides)
    settings.push_back({name, value, ""});
  for (const Flag& flag : flags_) {
    if (flag.option->count() > 0)
      settings.push_back({flag.name, flag.is_switch ? (flag.on ? "true" : "false") : flag.text, ""});
  }

  SearchConfig config = base.value_or(SearchConfig{});
  const Setting* method = last(settings, "method");
  if (!base || (method != nullptr && method->value != base->method)) {
    // An unknown method is reported by check(), with its choices.
    const std::string name = method != nullptr ? method->value : config.method;
    if (const search::Method* found = search::methods().find(name)) config = found->defaults;
    config.method = name;
  }
  for (const Setting& setting : settings) {
    try {
      search::set_field(config, setting.name, setting.value);
    } catch (const ConfigError& error) {
      problems.push_back(setting.where + error.what());
    }
  }
  for (std::string& problem : search::check(config))
    problems.push_back(std::move(problem));
  if (!problems.empty()) throw ConfigError(fmt::format("{}", fmt::join(problems, "\n")));
  return config;
}

}  // namespace dnas::apps
