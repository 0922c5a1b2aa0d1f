#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dnas {

/// Element types of tensors and files.
enum class DType : std::uint8_t { f32, f64, bf16, f16, u8, i32, i64 };

/// Bytes of one element.
[[nodiscard]] std::size_t size_of(DType dtype) noexcept;

/// Lower-case name, for messages: "f32".
[[nodiscard]] std::string_view to_string(DType dtype) noexcept;

}  // namespace dnas
