#pragma once

#include "dnas/engine/safetensors.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// What the reader and the writer of safetensors files have in common.
namespace dnas::engine::safetensors {

inline constexpr std::uint64_t length_bytes = 8;  ///< the file starts with the header's length, little-endian
inline constexpr std::uint64_t max_header_bytes = 100'000'000;
inline constexpr std::size_t max_rank = 8;
inline constexpr std::size_t max_name_bytes = 256;
inline constexpr std::uint64_t data_alignment = 64;  ///< what we write; not demanded of others
inline constexpr std::string_view metadata_key = "__metadata__";

struct DtypeName {
  DType dtype;
  std::string_view name;
};
inline constexpr DtypeName dtype_names[] = {{DType::f32, "F32"}, {DType::f64, "F64"}, {DType::bf16, "BF16"},
                                            {DType::f16, "F16"}, {DType::u8, "U8"},   {DType::i32, "I32"},
                                            {DType::i64, "I64"}};

/// Product of the extents and the element size. @returns false on overflow or a negative extent
[[nodiscard]] bool checked_bytes(const std::vector<std::int64_t>& shape, DType dtype, std::uint64_t& bytes) noexcept;

struct Header {
  std::vector<TensorInfo> tensors;  ///< by position in the file
  std::map<std::string, std::string> metadata;
};

/// Parses and validates a header. `data_start` and `file_bytes` bound the tensors' regions.
/// @throws DataError naming `path`, the tensor and what is wrong
[[nodiscard]] Header parse_header(std::string_view json, std::uint64_t data_start, std::uint64_t file_bytes,
                                  const std::filesystem::path& path);

}  // namespace dnas::engine::safetensors
