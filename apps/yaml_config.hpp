#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::apps {

/// One setting of a configuration file.
struct YamlSetting {
  std::string key;
  std::string value;
  int line = 0;  ///< counted from 1
};

/// What a configuration file says, and what is wrong with it ("FILE:LINE: message").
struct YamlConfig {
  std::vector<YamlSetting> settings;
  std::vector<std::string> problems;
};

/// Reads a flat YAML mapping of settings. A sequence of scalars is a list, joined with ", ".
///
/// Only the plain part of YAML is understood: at most 1 MiB, at most 32 levels deep, no anchors, aliases or tags, one
/// document, no key twice. Events are judged as they are parsed; no tree is ever built.
/// @throws MissingError, IoError
[[nodiscard]] YamlConfig read_yaml_config(const std::filesystem::path& path);

/// A value as it stands in a YAML file: quoted where it must be.
[[nodiscard]] std::string yaml_scalar(std::string_view value);

}  // namespace dnas::apps
