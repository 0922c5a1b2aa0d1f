#pragma once

#include <source_location>
#include <stdexcept>
#include <string>

namespace dnas::simt {

/// Thrown where a running thread does what it must not; the block adds who it was and makes an Error of it.
class Misuse : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// The line of a kernel that called something.
using Place = std::source_location;

[[nodiscard]] bool same(const Place& a, const Place& b);

/// "conv_cuda.cu:123"
[[nodiscard]] std::string text(const Place& place);

}  // namespace dnas::simt
