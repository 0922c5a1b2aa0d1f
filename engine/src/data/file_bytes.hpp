#pragma once

#include "data/gzip.hpp"

#include <filesystem>
#include <span>
#include <string_view>

namespace dnas::engine::data {

/// A whole file. @throws MissingError, IoError; DataError if it is larger than `limit`
[[nodiscard]] Bytes read_file(const std::filesystem::path& path, std::uint64_t limit);

/// The first of `folders` x `names` that exists, folders first; empty if none does.
[[nodiscard]] std::filesystem::path find_file(std::span<const std::filesystem::path> folders,
                                              std::span<const std::string_view> names);

}  // namespace dnas::engine::data
