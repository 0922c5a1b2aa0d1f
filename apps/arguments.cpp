#include "arguments.hpp"

#include "dnas/engine/registry.hpp"
#include "messages.hpp"
#include "usage_error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string_view>

namespace dnas::apps {
namespace {

bool is_flag(const std::string& argument) {
  return argument.size() > 1 && argument[0] == '-' && (argument[1] < '0' || argument[1] > '9');
}

/// Help that shows a switch as "--name,--no_name", without the value that the parser gives the latter.
class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool positional) const override {
    std::string name = CLI::Formatter::make_option_name(option, positional);
    constexpr std::string_view value = "{false}";
    if (const std::size_t at = name.find(value); at != std::string::npos) name.erase(at, value.size());
    return name;
  }
};

}  // namespace

Arguments normalised(Arguments arguments) {
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument.rfind("--", 0) != 0) continue;
    const std::size_t end = std::min(argument.find('='), argument.size());
    std::replace(argument.begin() + 2, argument.begin() + static_cast<std::ptrdiff_t>(end), '-', '_');
  }
  return arguments;
}

Shape parse_image(const std::string& text) {
  std::array<std::int64_t, 3> extents{};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (std::size_t i = 0; i < extents.size(); ++i) {
    const auto [next, error] = std::from_chars(at, end, extents[i]);
    const bool last = i + 1 == extents.size();
    const bool separated = last ? next == end : next != end && *next == 'x';
    constexpr std::int64_t largest = 1 << 16;
    if (error != std::errc() || extents[i] < 1 || extents[i] > largest || !separated) {
      throw UsageError(
          fmt::format("--image '{}': expected HEIGHTxWIDTHxCHANNELS, each from 1 to {}; like 32x32x3", text, largest));
    }
    at = next + 1;
  }
  return {extents[0], extents[1], extents[2]};
}

VerbParser::VerbParser(const std::string& verb, const std::string& description) : app_(description, "dnas " + verb) {
  app_.allow_extras();
  app_.set_help_flag("-h,--help", "Print this text and exit");
  // Pasted recipes may repeat a flag; like argparse, the last one counts.
  app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(34);
  app_.formatter(formatter);
}

void VerbParser::add_output_flags(Messages& messages) {
  messages_ = &messages;
  const std::string group = "Output";
  app_.add_flag("--json", json_, "Print the result as JSON on stdout")->group(group);
  app_.add_flag("-q,--quiet", quiet_, "No progress and no information on stderr; warnings and errors stay")
      ->group(group);
  app_.add_option("--color", color_,
                  "Colour on stderr: auto (a terminal, unless NO_COLOR is set), always or never [auto]")
      ->type_name("WHEN")
      ->group(group);
}

std::vector<std::string> VerbParser::unexpected() const {
  std::vector<std::string> known;
  for (const CLI::Option* option : app_.get_options()) {
    for (const std::string& name : option->get_lnames())
      known.push_back("--" + name);
  }
  std::vector<std::string> problems;
  bool value_of_unknown = false;  // what follows an unknown flag is most likely its value: no problem of its own
  for (const std::string& extra : app_.remaining()) {
    if (is_flag(extra)) {
      const std::string name = extra.substr(0, extra.find('='));
      const std::string nearest = nearest_match(name, known);
      problems.push_back(nearest.empty() ? fmt::format("unknown flag {}", name)
                                         : fmt::format("unknown flag {}; did you mean {}?", name, nearest));
    } else if (!value_of_unknown) {
      problems.push_back(fmt::format("unexpected argument '{}'", extra));
    }
    value_of_unknown = is_flag(extra) && extra.find('=') == std::string::npos;
  }
  return problems;
}

bool VerbParser::parse(const Arguments& arguments) {
  std::vector<const char*> argv = {app_.get_name().c_str()};
  for (const std::string& argument : arguments)
    argv.push_back(argument.c_str());
  std::vector<std::string> problems;
  try {
    app_.parse(static_cast<int>(argv.size()), argv.data());
    problems = unexpected();
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app_.help());
    return false;
  } catch (const CLI::ParseError& error) {
    problems = unexpected();
    problems.emplace_back(error.what());
  }
  if (color_ != "auto" && color_ != "always" && color_ != "never")
    problems.push_back(fmt::format("--color is '{}', expected auto, always or never", color_));
  if (!problems.empty()) throw UsageError(fmt::format("{}", fmt::join(problems, "\n")));
  if (messages_ != nullptr) {
    messages_->configure(color_ == "always"  ? ColorMode::always
                         : color_ == "never" ? ColorMode::never
                                             : ColorMode::automatic,
                         quiet_);
  }
  return true;
}

}  // namespace dnas::apps
