#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace dnas::engine::data {

using Bytes = std::vector<std::uint8_t>;

[[nodiscard]] bool is_gzip(std::span<const std::uint8_t> bytes) noexcept;

/// The first `count` bytes of a gzip stream's content, fewer if it has no more. `name` is for messages.
/// @throws DataError if the stream is damaged before that
[[nodiscard]] Bytes inflate_start(std::span<const std::uint8_t> compressed, std::size_t count, std::string_view name);

/// The whole content of a gzip stream of one member. `name` is for messages.
/// @throws DataError if it is more than `limit` bytes, is damaged, or other bytes follow
[[nodiscard]] Bytes inflate_all(std::span<const std::uint8_t> compressed, std::uint64_t limit, std::string_view name);

/// The content of a gzip stream of one member, which must be exactly `count` bytes. Memory is taken only for what the
/// compressed bytes can hold, whatever `count` says.
/// @throws DataError if it is shorter or longer, is damaged, or other bytes follow
[[nodiscard]] Bytes inflate_exactly(std::span<const std::uint8_t> compressed, std::uint64_t count,
                                    std::string_view name);

}  // namespace dnas::engine::data
