#include "dnas/engine/mapped_file.hpp"

#include "io/posix.hpp"

#include <cerrno>
#include <utility>

#include <sys/mman.h>

namespace dnas::engine {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const posix::ReadableFile file = posix::open_regular(path);
  if (file.size == 0) return;  // nothing cannot be mapped
  const auto size = static_cast<std::size_t>(file.size);
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor.get(), 0);
  if (memory == MAP_FAILED) posix::throw_io("map", path, errno);
  bytes_ = {static_cast<const std::byte*>(memory), size};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace dnas::engine
