#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace dnas::engine {

/// A whole small file. @throws MissingError, IoError; DataError if it is larger than `limit` bytes
[[nodiscard]] std::string read_text(const std::filesystem::path& path, std::uint64_t limit = 64ULL << 20);

/// A whole file whose content is at most `limit` bytes; of a gzip file, what is packed in it.
/// @throws MissingError, IoError; DataError if it is larger or the gzip stream is damaged
[[nodiscard]] std::string read_unpacked_text(const std::filesystem::path& path, std::uint64_t limit = 64ULL << 20);

/// Replaces `path` as one step: writes beside it, fsyncs, renames, fsyncs the folder. A reader, or a run that is killed
/// at any instant, sees the old content or the new, never a part. @throws IoError naming the path and the reason
void write_text_atomically(const std::filesystem::path& path, std::string_view text);

/// fsync of a file or folder. @throws IoError
void sync_path(const std::filesystem::path& path);

/// A file being written from scratch: buffered, hashed (XXH3-128) on the way. Without close() nothing is promised.
class FileWriter {
 public:
  /// Creates or truncates. @throws IoError
  explicit FileWriter(const std::filesystem::path& path);
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter();

  void write(std::span<const std::byte> bytes);
  /// Flushes and fsyncs. @throws IoError (disk full shows here or in write)
  void close();

  [[nodiscard]] std::uint64_t bytes() const noexcept;
  /// 32 hexadecimal digits, after close().
  [[nodiscard]] std::string hash() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// XXH3-128 of a block, 32 hexadecimal digits: finds accidental damage, not malice.
[[nodiscard]] std::string hash_of(std::span<const std::byte> bytes);

/// XXH3-128 of a file's content, 32 hexadecimal digits. @throws MissingError, IoError
[[nodiscard]] std::string hash_file(const std::filesystem::path& path);

}  // namespace dnas::engine
