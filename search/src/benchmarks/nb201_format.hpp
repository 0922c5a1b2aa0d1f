#pragma once

#include "dnas/search/nb201_code.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// The file of an Nb201Table, all numbers little-endian:
///
///   Header | Column x header.columns | for each column, 64-byte aligned: 15,625 values by code | hash
///
/// The first column is `index`. The hash is XXH3-128 of everything before it, 32 hexadecimal digits.
namespace dnas::search::nb201_format {

static_assert(std::endian::native == std::endian::little, "tables are little-endian and read as they are");

inline constexpr std::array<char, 8> magic = {'D', 'N', 'A', 'S', 'N', 'B', '2', '1'};
inline constexpr std::uint32_t version = 1;
inline constexpr std::size_t hash_digits = 32;
inline constexpr std::size_t alignment = 64;
inline constexpr std::uint32_t max_columns = 64;
inline constexpr std::size_t rows = nb201_architectures;

struct Header {
  std::array<char, 8> magic = nb201_format::magic;
  std::uint32_t version = nb201_format::version;
  std::uint32_t columns = 0;
  std::uint64_t rows = nb201_format::rows;
  std::uint64_t bytes = 0;  ///< of the file
  std::array<std::uint64_t, 4> reserved{};
};
static_assert(sizeof(Header) == 64);

enum class Type : std::uint32_t { f32 = 0, i64 = 1 };
[[nodiscard]] constexpr std::size_t size_of(Type type) noexcept {
  return type == Type::f32 ? 4 : 8;
}

struct Column {
  std::array<char, 48> name{};  ///< filled up with zeros
  Type type = Type::f32;
  std::uint32_t reserved = 0;
  std::uint64_t offset = 0;  ///< of the first value, from the start of the file
};
static_assert(sizeof(Column) == 64);

inline constexpr std::string_view index_column = "index";
/// Accuracies that every table has.
inline constexpr std::array<std::string_view, 3> required_columns = {"c10_test", "c100_test", "im16_test"};

[[nodiscard]] constexpr std::size_t aligned(std::size_t offset) noexcept {
  return (offset + alignment - 1) / alignment * alignment;
}

}  // namespace dnas::search::nb201_format
