#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace dnas::engine {

/// The content of a file as memory, read-only: opening takes no longer for a large file, pages come as they are read.
/// A file that is replaced by renaming stays what it was here. One that is shortened in place does not: reading what is
/// gone raises SIGBUS.
class MappedFile {
 public:
  /// @throws MissingError, IoError; DataError if it is no regular file
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  /// At a page boundary; stays where it is when the object is moved.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace dnas::engine
