#include "io/posix.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dnas::engine::posix {
namespace {

/// Runs a system call until it is not interrupted by a signal.
template <typename Call>
auto retried(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR)
    result = call();
  return result;
}

/// Linux moves at most 2 GiB per call; smaller pieces keep a signal's wait short.
constexpr std::size_t max_piece = std::size_t{1} << 30;

/// Calls `move(done, piece)` until `total` bytes are through or it returns 0; returns the bytes moved, or -1 with
/// errno.
template <typename Move>
std::ptrdiff_t move_all(std::size_t total, Move move) {
  std::size_t done = 0;
  while (done < total) {
    const std::size_t piece = std::min(total - done, max_piece);
    const ssize_t count = retried([&] { return move(done, piece); });
    if (count < 0) return -1;
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return static_cast<std::ptrdiff_t>(done);
}

void check_written(std::ptrdiff_t count, std::size_t total, const std::filesystem::path& path) {
  if (count < 0) throw_io("write", path, errno);
  // write(2) returning 0 for a positive count is not specified for files; treat it as the error it would hide.
  if (static_cast<std::size_t>(count) != total) throw_io("write", path, EIO);
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (value_ >= 0) ::close(value_);
}

void throw_io(std::string_view action, const std::filesystem::path& path, int error) {
  const std::string reason = std::generic_category().message(error);
  const bool full = error == ENOSPC || error == EDQUOT;
  throw IoError(fmt::format("cannot {} {}: {}{}", action, path.string(), reason,
                            full ? " (the disk or the quota is full; free space and run again with --resume)" : ""));
}

FileDescriptor open(const std::filesystem::path& path, int flags, std::string_view action) {
  const mode_t permissions = 0666;  // the umask decides
  const int value = retried([&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, permissions); });
  if (value >= 0) return FileDescriptor(value);
  const int error = errno;
  if ((error == ENOENT || error == ENOTDIR) && (flags & O_CREAT) == 0) {
    throw MissingError(fmt::format("cannot {} {}: it does not exist", action, path.string()));
  }
  throw_io(action, path, error);
}

ReadableFile open_regular(const std::filesystem::path& path) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer; regular files do not notice it.
  ReadableFile file{open(path, O_RDONLY | O_NONBLOCK, "read"), 0};
  struct stat status {};
  if (::fstat(file.descriptor.get(), &status) != 0) throw_io("inspect", path, errno);
  if (!S_ISREG(status.st_mode))
    throw DataError(fmt::format("{}: expected a file, found a folder or device", path.string()));
  file.size = static_cast<std::uint64_t>(status.st_size);
  return file;
}

std::size_t read_some(const FileDescriptor& file, std::span<std::byte> out, const std::filesystem::path& path) {
  const std::ptrdiff_t count = move_all(
      out.size(), [&](std::size_t done, std::size_t piece) { return ::read(file.get(), out.data() + done, piece); });
  if (count < 0) throw_io("read", path, errno);
  return static_cast<std::size_t>(count);
}

void read_at(const FileDescriptor& file, std::uint64_t offset, std::span<std::byte> out,
             const std::filesystem::path& path) {
  const std::ptrdiff_t count = move_all(out.size(), [&](std::size_t done, std::size_t piece) {
    return ::pread(file.get(), out.data() + done, piece, static_cast<off_t>(offset + done));
  });
  if (count < 0) throw_io("read", path, errno);
  if (static_cast<std::size_t>(count) != out.size()) {
    throw DataError(fmt::format("{}: ended at byte {} while {} bytes were read from byte {}; was it cut short?",
                                path.string(), offset + static_cast<std::uint64_t>(count), out.size(), offset));
  }
}

void write_all(const FileDescriptor& file, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  const std::ptrdiff_t count = move_all(bytes.size(), [&](std::size_t done, std::size_t piece) {
    return ::write(file.get(), bytes.data() + done, piece);
  });
  check_written(count, bytes.size(), path);
}

void write_at(const FileDescriptor& file, std::uint64_t offset, std::span<const std::byte> bytes,
              const std::filesystem::path& path) {
  const std::ptrdiff_t count = move_all(bytes.size(), [&](std::size_t done, std::size_t piece) {
    return ::pwrite(file.get(), bytes.data() + done, piece, static_cast<off_t>(offset + done));
  });
  check_written(count, bytes.size(), path);
}

void truncate(const FileDescriptor& file, std::uint64_t size, const std::filesystem::path& path) {
  if (retried([&] { return ::ftruncate(file.get(), static_cast<off_t>(size)); }) != 0)
    throw_io("truncate", path, errno);
}

void sync(const FileDescriptor& file, const std::filesystem::path& path) {
  if (retried([&] { return ::fsync(file.get()); }) == 0 || errno == EINVAL || errno == ENOTSUP) return;
  throw_io("flush to disk", path, errno);
}

void close(FileDescriptor file, const std::filesystem::path& path) {
  // Linux has released the descriptor even when close() was interrupted: a retry could close somebody else's.
  if (::close(file.release()) != 0 && errno != EINTR) throw_io("close", path, errno);
}

std::filesystem::path parent_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

}  // namespace dnas::engine::posix
