#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

// The system calls that files need, each checked, retried after a signal and continued after a short count.
namespace dnas::engine::posix {

/// Owner of a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int value) noexcept : value_(value) {}
  FileDescriptor(FileDescriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  /// Closes, ignoring errors: for files that were read, or that are being given up.
  ~FileDescriptor();

  [[nodiscard]] int get() const noexcept { return value_; }
  [[nodiscard]] explicit operator bool() const noexcept { return value_ >= 0; }
  /// Gives the descriptor up to a caller who closes it.
  [[nodiscard]] int release() noexcept { return std::exchange(value_, -1); }

 private:
  int value_ = -1;
};

/// "cannot <action> <path>: <reason>", with what to do about a full disk. `error` is an errno value.
[[noreturn]] void throw_io(std::string_view action, const std::filesystem::path& path, int error);

/// open(2), close-on-exec. @throws MissingError if it does not exist, IoError
[[nodiscard]] FileDescriptor open(const std::filesystem::path& path, int flags, std::string_view action);

/// A regular file opened for reading, and its size. Refuses folders, pipes and devices (DataError) without blocking.
struct ReadableFile {
  FileDescriptor descriptor;
  std::uint64_t size = 0;
};
[[nodiscard]] ReadableFile open_regular(const std::filesystem::path& path);

/// Reads until `out` is full or the file ends; returns the bytes read.
[[nodiscard]] std::size_t read_some(const FileDescriptor& file, std::span<std::byte> out,
                                    const std::filesystem::path& path);

/// Reads exactly out.size() bytes at `offset`. @throws DataError if the file ends before that, IoError
void read_at(const FileDescriptor& file, std::uint64_t offset, std::span<std::byte> out,
             const std::filesystem::path& path);

void write_all(const FileDescriptor& file, std::span<const std::byte> bytes, const std::filesystem::path& path);
void write_at(const FileDescriptor& file, std::uint64_t offset, std::span<const std::byte> bytes,
              const std::filesystem::path& path);
void truncate(const FileDescriptor& file, std::uint64_t size, const std::filesystem::path& path);

/// fsync. Something that cannot be synced by its nature (a pipe, a folder of some network file systems) is left alone.
void sync(const FileDescriptor& file, const std::filesystem::path& path);

/// close(2) with its errors: network file systems report a full disk only here.
void close(FileDescriptor file, const std::filesystem::path& path);

/// The folder a path is in; "." for a bare name.
[[nodiscard]] std::filesystem::path parent_of(const std::filesystem::path& path);

}  // namespace dnas::engine::posix
