#include "dnas/engine/file.hpp"

#include "data/gzip.hpp"
#include "dnas/kernels/error.hpp"
#include "io/hash.hpp"
#include "io/posix.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace dnas::engine {
namespace {

/// Large enough that system calls cost nothing beside the copy, small enough to stay in the second-level cache.
constexpr std::size_t buffer_bytes = std::size_t{256} << 10;

}  // namespace

std::string read_text(const std::filesystem::path& path, std::uint64_t limit) {
  // Pipes are welcome here (a configuration from a process substitution), so the size comes from reading.
  const posix::FileDescriptor file = posix::open(path, O_RDONLY, "read");
  std::string text;
  for (;;) {
    const std::size_t old_size = text.size();
    text.resize(std::max<std::size_t>(std::size_t{64} << 10, 2 * old_size));
    const std::span<char> free(text.data() + old_size, text.size() - old_size);
    const std::size_t count = posix::read_some(file, std::as_writable_bytes(free), path);
    text.resize(old_size + count);
    if (text.size() > limit) {
      throw DataError(fmt::format("{}: larger than the {} bytes that are read of such a file", path.string(), limit));
    }
    if (count < free.size()) return text;
  }
}

std::string read_unpacked_text(const std::filesystem::path& path, std::uint64_t limit) {
  std::string stored = read_text(path, limit);
  const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(stored.data()), stored.size());
  if (!data::is_gzip(bytes)) return stored;
  const data::Bytes content = data::inflate_all(bytes, limit, path.string());
  return {content.begin(), content.end()};
}

void write_text_atomically(const std::filesystem::path& path, std::string_view text) {
  // The thread's id keeps writers apart; a file left by a kill is overwritten when the id comes round again.
  std::filesystem::path temporary = path;
  temporary += fmt::format(".tmp-{}", ::gettid());
  try {
    posix::FileDescriptor file = posix::open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, "create");
    posix::write_all(file, std::as_bytes(std::span(text)), temporary);
    posix::sync(file, temporary);
    posix::close(std::move(file), temporary);
    if (std::rename(temporary.c_str(), path.c_str()) != 0) posix::throw_io("replace", path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());  // best effort: the first error is the one to report
    throw;
  }
  sync_path(posix::parent_of(path));
}

void sync_path(const std::filesystem::path& path) {
  posix::sync(posix::open(path, O_RDONLY | O_NONBLOCK, "flush"), path);
}

struct FileWriter::State {
  std::filesystem::path path;
  posix::FileDescriptor file;
  std::vector<std::byte> buffer;
  Hasher hasher;
  std::uint64_t bytes = 0;
  std::string hash;

  void flush() {
    posix::write_all(file, buffer, path);
    buffer.clear();
  }
};

FileWriter::FileWriter(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->file = posix::open(path, O_WRONLY | O_CREAT | O_TRUNC, "create");
  state_->buffer.reserve(buffer_bytes);
}

FileWriter::~FileWriter() = default;

void FileWriter::write(std::span<const std::byte> bytes) {
  State& s = *state_;
  s.hasher.update(bytes);
  s.bytes += bytes.size();
  if (s.buffer.size() + bytes.size() > buffer_bytes) s.flush();
  if (bytes.size() >= buffer_bytes) {
    posix::write_all(s.file, bytes, s.path);
  } else {
    s.buffer.insert(s.buffer.end(), bytes.begin(), bytes.end());
  }
}

void FileWriter::close() {
  State& s = *state_;
  if (!s.file) return;
  s.flush();
  posix::sync(s.file, s.path);
  posix::close(std::move(s.file), s.path);
  s.hash = s.hasher.digest();
}

std::uint64_t FileWriter::bytes() const noexcept {
  return state_->bytes;
}

std::string FileWriter::hash() const {
  return state_->hash;
}

std::string hash_file(const std::filesystem::path& path) {
  const posix::ReadableFile file = posix::open_regular(path);
  std::vector<std::byte> buffer(buffer_bytes);
  Hasher hasher;
  for (;;) {
    const std::size_t count = posix::read_some(file.descriptor, buffer, path);
    hasher.update(std::span(buffer).first(count));
    if (count < buffer.size()) return hasher.digest();
  }
}

}  // namespace dnas::engine
