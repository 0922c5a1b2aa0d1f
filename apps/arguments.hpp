#pragma once

#include "dnas/kernels/shape.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace dnas::apps {

class Messages;

/// The arguments after a verb. In long flags '-' and '_' are alike: they arrive here with '_'.
using Arguments = std::vector<std::string>;

/// "--learning-rate=0.1" -> "--learning_rate=0.1"; nothing after a lone "--" is touched.
[[nodiscard]] Arguments normalised(Arguments arguments);

/// "32x32x3" -> [32, 32, 3], the value of --image. @throws UsageError
[[nodiscard]] Shape parse_image(const std::string& text);

/// The parser of a verb: takes extra arguments, so that parse() can report all of them with their nearest match.
class VerbParser {
 public:
  VerbParser(const std::string& verb, const std::string& description);

  [[nodiscard]] CLI::App& app() noexcept { return app_; }

  /// Adds --json, -q and --color.
  void add_output_flags(Messages& messages);
  [[nodiscard]] bool json() const noexcept { return json_; }

  /// Parses and applies the output flags. Returns false if help was asked for; it was printed then.
  /// @throws UsageError with one line per problem
  [[nodiscard]] bool parse(const Arguments& arguments);

 private:
  [[nodiscard]] std::vector<std::string> unexpected() const;

  CLI::App app_;
  Messages* messages_ = nullptr;
  bool json_ = false;
  bool quiet_ = false;
  std::string color_ = "auto";
};

}  // namespace dnas::apps
