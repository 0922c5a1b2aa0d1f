#include "yaml_config.hpp"

#include "dnas/engine/file.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <sstream>

namespace dnas::apps {
namespace {

constexpr std::uint64_t max_bytes = 1ULL << 20;
constexpr int max_depth = 32;
constexpr std::size_t max_problems = 50;  // a hostile file must not flood the terminal

/// Thrown out of the parser when reading on makes no sense; the problem was recorded.
struct Abandoned {};

/// Judges the events of a document: settings are scalars, or sequences of scalars, in one mapping.
class SettingsHandler final : public YAML::EventHandler {
 public:
  SettingsHandler(const std::string& file, YamlConfig& config) : file_(file), config_(config) {}

  void problem(int line, std::string_view text) {
    config_.problems.push_back(fmt::format("{}:{}: {}", file_, line, text));
    if (config_.problems.size() >= max_problems) {
      config_.problems.push_back(fmt::format("{}: too many problems; the rest of the file was not read", file_));
      throw Abandoned{};
    }
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      problem(line_of(mark), "a second document starts here; a configuration is one document");
      throw Abandoned{};
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_extras(mark, "", anchor);
    if (depth_ == 0) return;  // an empty document: no settings
    if (expects_key()) {
      key(mark, "null");
    } else {
      problem(line_, fmt::format("'{}' has no value", key_));  // the mark is where the next token stands
      finish_value();
    }
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    problem(line_of(mark), "an alias (*name); aliases are not allowed in configurations");
    if (expects_key())
      key(mark, "");
    else
      finish_value();
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_extras(mark, tag, anchor);
    if (depth_ == 0) {
      problem(line_of(mark), "the file is a single value, expected 'key: value' lines");
    } else if (expects_key()) {
      key(mark, value);
    } else if (depth_ == 1) {
      add(value);
      finish_value();
    } else if (depth_ == 2 && in_sequence_) {
      items_ += items_.empty() ? value : ", " + value;
    }
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_extras(mark, tag, anchor);
    if (depth_ == 0) problem(line_of(mark), "the file is a sequence, expected 'key: value' lines");
    if (depth_ == 1 && expects_key()) problem(line_of(mark), "a sequence stands where a key was expected");
    enter(mark);
    if (depth_ == 2) {
      in_sequence_ = true;
      items_.clear();
    } else if (depth_ > 2) {
      nested(mark);
    }
  }
  void OnSequenceEnd() override {
    --depth_;
    if (depth_ != 1) return;
    if (in_sequence_ && !key_.empty()) add(items_);
    in_sequence_ = false;
    finish_value();
  }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_extras(mark, tag, anchor);
    if (depth_ == 1 && expects_key()) problem(line_of(mark), "a mapping stands where a key was expected");
    enter(mark);
    if (depth_ == 1)
      in_root_map_ = true;
    else
      nested(mark);
  }
  void OnMapEnd() override {
    if (--depth_ == 1) finish_value();
  }

 private:
  static int line_of(const YAML::Mark& mark) { return mark.line + 1; }
  [[nodiscard]] bool expects_key() const { return depth_ == 1 && in_root_map_ && !has_key_; }

  void refuse_extras(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor)
      problem(line_of(mark), "an anchor (&name); anchors are not allowed in configurations");
    if (!tag.empty() && tag != "?" && tag != "!")
      problem(line_of(mark), fmt::format("the tag '{}'; tags are not allowed in configurations", tag));
  }

  void key(const YAML::Mark& mark, const std::string& name) {
    has_key_ = true;
    key_ = name;
    line_ = line_of(mark);
    reported_nested_ = false;
    if (!name.empty() && !seen_.insert(name).second) problem(line_, fmt::format("'{}' is set twice", name));
  }
  void add(const std::string& value) {
    if (has_key_) config_.settings.push_back({key_, value, line_});
  }
  void finish_value() {
    has_key_ = false;
    key_.clear();
  }
  void enter(const YAML::Mark& mark) {
    if (++depth_ > max_depth) {
      problem(line_of(mark), fmt::format("nested more than {} levels deep", max_depth));
      throw Abandoned{};
    }
  }
  void nested(const YAML::Mark& mark) {
    in_sequence_ = false;
    if (reported_nested_ || !in_root_map_) return;
    reported_nested_ = true;
    problem(line_of(mark), fmt::format("'{}' takes one value or a list of values, not a nested structure", key_));
  }

  const std::string& file_;
  YamlConfig& config_;
  std::set<std::string> seen_;
  std::string key_;
  std::string items_;
  int line_ = 0;
  int depth_ = 0;
  int documents_ = 0;
  bool in_root_map_ = false;
  bool has_key_ = false;
  bool in_sequence_ = false;
  bool reported_nested_ = false;
};

/// What the parser would misunderstand or explain badly: tabs as indentation, bytes that are no text.
void check_text(const std::string& text, SettingsHandler& handler) {
  int line = 1;
  bool indentation = true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\t' && indentation) {
      handler.problem(line, "a tab in the indentation; YAML is indented with spaces");
      indentation = false;
    } else if ((byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f) {
      handler.problem(line, fmt::format("the control character 0x{:02x}; is this a text file?", byte));
    }
    if (c == '\n') {
      ++line;
      indentation = true;
    } else if (c != ' ') {
      indentation = false;
    }
  }
}

}  // namespace

YamlConfig read_yaml_config(const std::filesystem::path& path) {
  YamlConfig config;
  std::string text;
  try {
    text = engine::read_text(path, max_bytes);
  } catch (const DataError& error) {  // too large
    config.problems.emplace_back(error.what());
    return config;
  }
  const std::string file = path.string();
  SettingsHandler handler(file, config);
  try {
    check_text(text, handler);
    if (!config.problems.empty()) return config;
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(handler)) {
    }
  } catch (const Abandoned&) {
    // Everything that was found is in config.problems.
  } catch (const YAML::Exception& error) {
    config.problems.push_back(
        fmt::format("{}:{}: column {}: {}", file, error.mark.line + 1, error.mark.column + 1, error.msg));
  }
  return config;
}

std::string yaml_scalar(std::string_view value) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+";
  constexpr std::string_view inside = "-()=, ";
  const bool starts_plain = !value.empty() && plain.find(value.front()) != std::string_view::npos;
  const bool all_plain = std::all_of(value.begin(), value.end(), [&](char c) {
    return plain.find(c) != std::string_view::npos || inside.find(c) != std::string_view::npos;
  });
  if (starts_plain && all_plain && value.back() != ' ' && value != "null" && value != "Null" && value != "NULL")
    return std::string(value);
  std::string quoted = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\x{:02x}", byte);
      continue;
    }
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace dnas::apps
