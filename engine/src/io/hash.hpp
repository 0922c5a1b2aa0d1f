#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace dnas::engine {

/// XXH3-128 of a stream of bytes: finds accidental damage, not malice.
class Hasher {
 public:
  Hasher();
  void update(std::span<const std::byte> bytes) noexcept;
  /// 32 hexadecimal digits of everything so far.
  [[nodiscard]] std::string digest() const;

 private:
  struct Free {
    void operator()(void* state) const noexcept;
  };
  std::unique_ptr<void, Free> state_;
};

}  // namespace dnas::engine
