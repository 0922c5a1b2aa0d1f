#pragma once

#include <array>
#include <cstdint>

namespace dnas {

/// Independent random streams. A draw depends on nothing but (seed, stream, step, element).
enum class Stream : std::uint32_t {
  weight_init = 1,
  alpha_init = 2,
  data_order = 3,
  arch_data_order = 4,
  augmentation = 5,
  arch_augmentation = 6,
  dropout = 7,
  relaxation = 8,
  perturbation = 9,
  synthetic_data = 10,
  network = 11,  ///< nodes of a network that draw: dropout, noise (draws.hpp)
};

/// Philox-4x32-10, a counter-based generator: no state, so any draw can be made by anyone, in any order, after any
/// restart. Usable from host and device code.
///
/// The key is the 64-bit seed; the counter is (element low, element high, step, stream), so a stream offers 2^32
/// steps of 2^64 elements with four words each. Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
/// 3".
class Philox {
 public:
  constexpr Philox(std::uint64_t seed, Stream stream, std::uint32_t step = 0) noexcept
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        step_(step),
        stream_(static_cast<std::uint32_t>(stream)) {}

  /// Four uniform 32-bit words for one element.
  [[nodiscard]] constexpr std::array<std::uint32_t, 4> operator()(std::uint64_t element) const noexcept {
    return block(counter(element), key_);
  }

  /// Uniform in [0, 1), 24 random bits.
  [[nodiscard]] constexpr float uniform(std::uint64_t element) const noexcept { return to_unit((*this)(element)[0]); }

  /// Integer in [0, bound), without modulo bias worth measuring (32-bit multiply-shift). bound must be > 0.
  [[nodiscard]] constexpr std::uint32_t below(std::uint64_t element, std::uint32_t bound) const noexcept {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>((*this)(element)[0]) * bound) >> 32);
  }

  /// Standard normal by Box-Muller.
  [[nodiscard]] float normal(std::uint64_t element) const noexcept;

  using Counter = std::array<std::uint32_t, 4>;
  using Key = std::array<std::uint32_t, 2>;

  /// The bijection itself: 10 rounds. Matches Random123's known answers.
  [[nodiscard]] static constexpr Counter block(Counter counter, Key key) noexcept {
    for (int i = 0; i < rounds; ++i) {
      counter = round(counter, key);
      key = next_key(key);
    }
    return counter;
  }

  // Its parts, for those who draw for many elements at a time.
  static constexpr int rounds = 10;
  [[nodiscard]] static constexpr Counter round(const Counter& counter, const Key& key) noexcept {
    const std::uint64_t p0 = 0xD2511F53ULL * counter[0];
    const std::uint64_t p1 = 0xCD9E8D57ULL * counter[2];
    return {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
            static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
  }
  [[nodiscard]] static constexpr Key next_key(const Key& key) noexcept {
    return {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
  }
  [[nodiscard]] constexpr Counter counter(std::uint64_t element) const noexcept {
    return {static_cast<std::uint32_t>(element), static_cast<std::uint32_t>(element >> 32), step_, stream_};
  }
  [[nodiscard]] constexpr const Key& key() const noexcept { return key_; }

  /// The top 24 bits as a float in [0, 1).
  [[nodiscard]] static constexpr float to_unit(std::uint32_t word) noexcept {
    return static_cast<float>(word >> 8) * 0x1.0p-24F;
  }

 private:
  Key key_;
  std::uint32_t step_;
  std::uint32_t stream_;
};

}  // namespace dnas
