#include "dnas/kernels/buffer.hpp"

#include <cstring>
#include <limits>
#include <new>

namespace dnas {

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  // Rounding up must not wrap around to a small size.
  if (bytes > std::numeric_limits<std::size_t>::max() - alignment) throw std::bad_alloc();
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  data_.reset(static_cast<std::byte*>(::operator new (rounded, std::align_val_t{alignment})));
  std::memset(data_.get(), 0, rounded);
}

void Buffer::Free::operator()(std::byte* p) const noexcept {
  ::operator delete (p, std::align_val_t{alignment});
}

}  // namespace dnas
