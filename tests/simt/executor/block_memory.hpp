#pragma once

#include <cstddef>
#include <vector>

namespace dnas::simt {

/// The dynamic shared memory of the block that a worker executes. Arrays start as 0xFF, which is NaN in every format,
/// at addresses that are multiples of 16 and of nothing larger, with red zones before, between and behind them.
class BlockMemory {
 public:
  BlockMemory() = default;
  ~BlockMemory();
  BlockMemory(const BlockMemory&) = delete;
  BlockMemory& operator=(const BlockMemory&) = delete;

  /// Forgets the arrays of the last block. `bytes` is what the launch gave.
  void begin_block(std::size_t bytes);

  /// The `index`th array that the calling thread takes; all threads take the same ones.
  /// @throws Misuse if they do not, or if there is not so much memory
  [[nodiscard]] std::byte* take(std::size_t index, std::size_t bytes);

  /// @throws Misuse if a red zone was written to. Left to AddressSanitizer where there is one: it names the line.
  void check_red_zones() const;

  [[nodiscard]] bool contains(const void* address) const;

 private:
  struct Array {
    std::byte* begin;
    std::size_t bytes;
  };

  void prepare();

  std::byte* memory_ = nullptr;
  std::size_t capacity_ = 0;  // the launch's bytes, and room for red zones
  std::size_t given_ = 0;
  std::size_t used_ = 0;  // as the device counts, without red zones
  std::vector<Array> arrays_;
};

}  // namespace dnas::simt
