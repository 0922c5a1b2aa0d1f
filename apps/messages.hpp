#pragma once

#include "terminal.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace dnas::apps {

/// What the command tells people, on stderr; results go to stdout. Warnings and errors start with the command and the
/// verb ("dnas search: warning: ..."), one line per line of the message. On a terminal a status line may stand below
/// the messages.
class Messages {
 public:
  Messages();
  ~Messages();
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;

  void set_verb(const std::string& verb);
  /// @param quiet  leave out information and the status line; warnings and errors stay
  void configure(ColorMode color, bool quiet);

  void info(std::string_view text);
  void warn(std::string_view text);
  void error(std::string_view text);
  /// How to go on after an error: "dnas search: hint: ...".
  void hint(std::string_view text);

  /// Whether there is somebody to see a status line.
  [[nodiscard]] bool live() const noexcept;
  /// Shows this line in place of the last one; "" removes it.
  void status(std::string_view line);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dnas::apps
