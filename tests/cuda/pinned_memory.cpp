#include "pinned_memory.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <new>

// NOLINTBEGIN(cppcoreguidelines-no-malloc): this is the allocator.
namespace dnas::cuda_test {
namespace {

/// For what the allocator itself needs.
template <typename T>
struct Malloc {
  using value_type = T;
  Malloc() = default;
  template <typename U>
  explicit Malloc(const Malloc<U>& /*other*/) {}
  T* allocate(std::size_t count) {
    void* const p = std::malloc(count * sizeof(T));
    if (p == nullptr) throw std::bad_alloc();
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t /*count*/) { std::free(p); }
  bool operator==(const Malloc& /*other*/) const { return true; }
};

/// Page-locked memory in blocks whose sizes are powers of two; freed ones are kept for the next of that size.
class PinnedMemory {
 public:
  void start() {
    const char* const mode = std::getenv("DNAS_PINNED_MEMORY");
    each_ = mode != nullptr && std::strcmp(mode, "each") == 0;
    active_ = true;
  }
  void stop() { active_ = false; }

  /// Null if there is none: the caller falls back to malloc.
  void* allocate(std::size_t bytes, std::size_t alignment) {
    if (!active_ || inside) return nullptr;
    const Inside guard;
    const std::lock_guard lock(mutex_);
    // The header lies right before the memory. Blocks are aligned as headers are.
    const std::size_t size = sizeof(Header) + (alignment > alignof(Header) ? alignment : 0) + bytes;
    std::byte* const block = each_ ? take_region(size) : take_block(size);
    if (block == nullptr) return nullptr;
    std::byte* memory = block + sizeof(Header);
    memory += (alignment - reinterpret_cast<std::uintptr_t>(memory) % alignment) % alignment;
    new (memory - sizeof(Header)) Header{block, each_ ? 0 : bin_of(size)};
    return memory;
  }

  /// Whether p was memory of this object, which is now free.
  bool release(void* p) {
    if (p == nullptr || inside) return false;
    const Inside guard;
    const std::lock_guard lock(mutex_);
    auto* const memory = static_cast<std::byte*>(p);
    const auto region = region_of(memory);
    if (region == regions_.end()) return false;
    const Header header = *std::launder(reinterpret_cast<Header*>(memory - sizeof(Header)));
    if (!each_) {
      free_[header.bin] = new (header.block) Free{free_[header.bin]};
    } else if (active_) {
      (void)cudaFreeHost(header.block);
      regions_.erase(region);
    }
    return true;
  }

 private:
  struct alignas(64) Header {
    std::byte* block;
    std::size_t bin;
  };
  struct Free {
    Free* next;
  };
  /// CUDA's own allocations, and those of the table of regions, are not ours to serve.
  struct Inside {
    Inside() { inside = true; }
    ~Inside() { inside = false; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    Inside(Inside&&) = delete;
    Inside& operator=(Inside&&) = delete;
  };
  using Regions = std::map<std::byte*, std::size_t, std::less<>, Malloc<std::pair<std::byte* const, std::size_t>>>;

  static constexpr std::size_t piece = std::size_t{64} << 20;

  static std::size_t bin_of(std::size_t bytes) {
    return static_cast<std::size_t>(std::bit_width(std::max<std::size_t>(bytes, 128) - 1));
  }

  std::byte* take_region(std::size_t bytes) {
    void* region = nullptr;
    if (cudaMallocHost(&region, bytes) != cudaSuccess) {
      (void)cudaGetLastError();
      return nullptr;
    }
    regions_.emplace(static_cast<std::byte*>(region), bytes);
    return static_cast<std::byte*>(region);
  }

  std::byte* take_block(std::size_t bytes) {
    const std::size_t bin = bin_of(bytes);
    if (Free* const first = free_[bin]; first != nullptr) {
      free_[bin] = first->next;
      return reinterpret_cast<std::byte*>(first);
    }
    const std::size_t size = std::size_t{1} << bin;
    if (left_ < size) {
      const std::size_t wanted = std::max(piece, size);
      std::byte* const region = take_region(wanted);
      if (region == nullptr) return nullptr;
      next_ = region;
      left_ = wanted;
    }
    std::byte* const block = next_;
    next_ += size;
    left_ -= size;
    return block;
  }

  Regions::iterator region_of(std::byte* p) {
    auto after = regions_.upper_bound(p);
    if (after == regions_.begin()) return regions_.end();
    --after;
    return p < after->first + after->second ? after : regions_.end();
  }

  static thread_local bool inside;

  bool active_ = false;
  bool each_ = false;
  std::mutex mutex_;
  Regions regions_;
  std::array<Free*, 64> free_{};
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
};

thread_local bool PinnedMemory::inside = false;

/// Lives longer than any object that might be deleted, and is there before any that might be created.
PinnedMemory& pinned() {
  alignas(PinnedMemory) static std::byte storage[sizeof(PinnedMemory)];
  static auto* const memory = new (storage) PinnedMemory;
  return *memory;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (void* const p = pinned().allocate(bytes, alignment); p != nullptr) return p;
  const std::size_t unit = std::max(alignment, alignof(std::max_align_t));
  return std::aligned_alloc(unit, (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit);
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  void* const p = allocate(bytes, alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

void release(void* p) {
  if (!pinned().release(p)) std::free(p);
}

}  // namespace

void start_pinned_memory() {
  pinned().start();
}

void stop_pinned_memory() {
  pinned().stop();
}

}  // namespace dnas::cuda_test

using dnas::cuda_test::allocate_or_throw;
using dnas::cuda_test::release;

// The array, sized and nothrow forms come down to these.
void* operator new(std::size_t bytes) {
  return allocate_or_throw(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept {
  release(p);
}
void operator delete(void* p, std::size_t /*bytes*/) noexcept {
  release(p);
}
void operator delete(void* p, std::align_val_t /*alignment*/) noexcept {
  release(p);
}
void operator delete(void* p, std::size_t /*bytes*/, std::align_val_t /*alignment*/) noexcept {
  release(p);
}

// NOLINTEND(cppcoreguidelines-no-malloc)
