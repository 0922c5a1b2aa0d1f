#pragma once

#include <cstddef>
#include <string_view>

namespace dnas::search {

/// Reads a genotype's text piece by piece. Errors say the position and what was expected there. Functions called
/// next_... take what stands right here, the others pass over space first.
class TextScanner {
 public:
  explicit TextScanner(std::string_view text) : text_(text) {}

  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  [[nodiscard]] std::string_view rest() const noexcept { return text_.substr(position_); }
  void go_back(std::size_t position) noexcept { position_ = position; }

  void skip_space();
  /// The next character that is not space; NUL at the end.
  char peek();
  bool accept(char c);
  void expect(char c);
  /// Letters, digits and underscores. @param expected  of the message
  std::string_view name(std::string_view expected);
  /// A name in quotes of either kind.
  std::string_view quoted();
  /// The number of a state.
  int integer();
  /// Only space may follow.
  void expect_end();

  bool accept_next(char c);
  void expect_next(char c);
  std::string_view next_name(std::string_view expected);
  int next_integer();

  /// Throws DataError: "genotype: <what> at position 8, found '['". fail() passes over space first.
  [[noreturn]] void fail(std::string_view what);
  [[noreturn]] void fail_at(std::size_t position, std::string_view what) const;

 private:
  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace dnas::search
