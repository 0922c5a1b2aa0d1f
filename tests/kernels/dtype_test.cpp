#include "dnas/kernels/dtype.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace dnas {
namespace {

TEST(DType, HasSizeAndName) {
  struct Expected {
    DType dtype;
    std::size_t bytes;
    std::string_view name;
  };
  for (const auto& [dtype, bytes, name] :
       std::array{Expected{DType::f32, 4, "f32"}, Expected{DType::f64, 8, "f64"}, Expected{DType::bf16, 2, "bf16"},
                  Expected{DType::f16, 2, "f16"}, Expected{DType::u8, 1, "u8"}, Expected{DType::i32, 4, "i32"},
                  Expected{DType::i64, 8, "i64"}}) {
    EXPECT_EQ(size_of(dtype), bytes) << name;
    EXPECT_EQ(to_string(dtype), name);
  }
}

}  // namespace
}  // namespace dnas
