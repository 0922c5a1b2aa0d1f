#include "core/text_scanner.hpp"

#include "core/genotype_check.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <system_error>

namespace dnas::search {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

// A printable form of a character, for messages.
std::string shown(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code >= 0x20 && code < 0x7f ? fmt::format("'{}'", c) : fmt::format("byte 0x{:02x}", code);
}

}  // namespace

void TextScanner::skip_space() {
  while (position_ < text_.size() && is_space(text_[position_]))
    ++position_;
}

char TextScanner::peek() {
  skip_space();
  return position_ < text_.size() ? text_[position_] : '\0';
}

bool TextScanner::accept(char c) {
  skip_space();
  return accept_next(c);
}

void TextScanner::expect(char c) {
  skip_space();
  expect_next(c);
}

std::string_view TextScanner::name(std::string_view expected) {
  skip_space();
  return next_name(expected);
}

int TextScanner::integer() {
  skip_space();
  return next_integer();
}

std::string_view TextScanner::quoted() {
  const char quote = peek();
  if (quote != '\'' && quote != '"') fail("expected the quoted name of an operation");
  const std::size_t start = ++position_;
  while (position_ < text_.size() && is_name_character(text_[position_]))
    ++position_;
  const std::string_view content = text_.substr(start, position_ - start);
  if (position_ == text_.size() || text_[position_] != quote) fail(fmt::format("expected the closing {}", quote));
  ++position_;
  return content;
}

void TextScanner::expect_end() {
  skip_space();
  if (position_ != text_.size()) fail("expected the end");
}

bool TextScanner::accept_next(char c) {
  if (position_ == text_.size() || text_[position_] != c) return false;
  ++position_;
  return true;
}

void TextScanner::expect_next(char c) {
  if (!accept_next(c)) fail_at(position_, fmt::format("expected '{}'", c));
}

std::string_view TextScanner::next_name(std::string_view expected) {
  const std::size_t start = position_;
  while (position_ < text_.size() && is_name_character(text_[position_]))
    ++position_;
  if (position_ == start) fail_at(start, fmt::format("expected {}", expected));
  return text_.substr(start, position_ - start);
}

int TextScanner::next_integer() {
  constexpr int limit = max_cell_inputs + max_cell_nodes;
  const std::size_t start = position_;
  while (position_ < text_.size() && is_digit(text_[position_]))
    ++position_;
  if (position_ == start) fail_at(start, "expected an integer that is not negative");
  int value = 0;
  const auto [end, error] = std::from_chars(text_.data() + start, text_.data() + position_, value);
  if (error != std::errc() || value > limit) fail_at(start, fmt::format("expected an integer up to {}", limit));
  return value;
}

void TextScanner::fail(std::string_view what) {
  skip_space();
  fail_at(position_, what);
}

void TextScanner::fail_at(std::size_t position, std::string_view what) const {
  const std::string found = position < text_.size() ? shown(text_[position]) : "the end";
  throw DataError(fmt::format("genotype: {} at position {}, found {}", what, position, found));
}

}  // namespace dnas::search
