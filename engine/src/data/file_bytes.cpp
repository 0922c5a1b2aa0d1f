#include "data/file_bytes.hpp"

#include "dnas/kernels/error.hpp"
#include "io/posix.hpp"

#include <fmt/core.h>

namespace dnas::engine::data {

Bytes read_file(const std::filesystem::path& path, std::uint64_t limit) {
  const posix::ReadableFile file = posix::open_regular(path);
  if (file.size > limit) {
    throw DataError(fmt::format("{}: has {} bytes, at most {} were expected", path.string(), file.size, limit));
  }
  Bytes bytes(static_cast<std::size_t>(file.size));
  posix::read_at(file.descriptor, 0, std::as_writable_bytes(std::span(bytes)), path);
  return bytes;
}

std::filesystem::path find_file(std::span<const std::filesystem::path> folders,
                                std::span<const std::string_view> names) {
  for (const std::filesystem::path& folder : folders) {
    for (const std::string_view name : names) {
      std::error_code ignored;  // a folder that cannot be searched does not have the file, as far as we can tell
      if (std::filesystem::exists(folder / name, ignored)) return folder / name;
    }
  }
  return {};
}

}  // namespace dnas::engine::data
