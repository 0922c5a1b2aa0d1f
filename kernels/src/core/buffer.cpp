#include "dnas/kernels/buffer.hpp"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace dnas {

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  // Rounding up must not wrap around to a small size.
  if (bytes > std::numeric_limits<std::size_t>::max() - alignment) throw std::bad_alloc();
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  auto* p = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
  if (p == nullptr) throw std::bad_alloc();
  std::memset(p, 0, rounded);
  data_.reset(p);
}

void Buffer::Free::operator()(std::byte* p) const noexcept {
  std::free(p);
}

}  // namespace dnas
