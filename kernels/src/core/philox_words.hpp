#pragma once

#include "dnas/kernels/rng.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace dnas::kernels {

/// Elements that philox_words draws for at a time.
inline constexpr int philox_lanes = 64;

/// words[i] = random(element + i)[0], the word that uniform() and below() take. Round by round for all elements, which
/// the compiler makes vector code of: call it from a multiversioned function.
[[gnu::always_inline]] inline void philox_words(const Philox& random, std::uint64_t element,
                                                std::array<std::uint32_t, philox_lanes>& words) {
  using Lanes = std::array<std::uint32_t, philox_lanes>;
  Lanes a;
  Lanes b;
  Lanes c;
  Lanes d;
  for (std::size_t i = 0; i < philox_lanes; ++i) {
    const Philox::Counter counter = random.counter(element + i);
    a[i] = counter[0];
    b[i] = counter[1];
    c[i] = counter[2];
    d[i] = counter[3];
  }
  Philox::Key key = random.key();
  for (int round = 0; round < Philox::rounds; ++round) {
    for (std::size_t i = 0; i < philox_lanes; ++i) {
      const Philox::Counter next = Philox::round({a[i], b[i], c[i], d[i]}, key);
      a[i] = next[0];
      b[i] = next[1];
      c[i] = next[2];
      d[i] = next[3];
    }
    key = Philox::next_key(key);
  }
  words = a;
}

}  // namespace dnas::kernels
