#pragma once

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/draws.hpp"
#include "dnas/kernels/rng.hpp"

#include <cstdint>

namespace dnas::test {

/// Keys and a site with memory of their own, and what the generator makes of them.
class OwnDraws {
 public:
  explicit OwnDraws(std::int64_t seed = 3, std::int64_t step = 5, std::int64_t site = 7)
      : buffer_(2 * sizeof(std::int64_t)), site_(site) {
    view().i64()[0] = seed;
    view().i64()[1] = step;
  }
  [[nodiscard]] TensorView view() const { return {const_cast<std::byte*>(buffer_.data()), Shape{2}, DType::i64}; }
  [[nodiscard]] kernels::Draws draws() const { return {view(), site_}; }

  [[nodiscard]] Philox philox() const {
    const std::int64_t* key = view().i64();
    return Philox(static_cast<std::uint64_t>(key[0]), Stream::network, static_cast<std::uint32_t>(key[1]));
  }
  [[nodiscard]] std::uint64_t first() const { return static_cast<std::uint64_t>(site_) << 40U; }

 private:
  Buffer buffer_;
  std::int64_t site_;
};

}  // namespace dnas::test
