#pragma once

#include "core/product.hpp"
#include "cuda_libraries/device.hpp"

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace dnas::test {

using kernels::cuda::Product;

inline constexpr Product products[] = {Product::tf32x3, Product::tf32, Product::bf16};

inline std::string name_of(Product product) {
  return product == Product::bf16 ? "Bf16" : product == Product::tf32 ? "Tf32" : "F32";
}

/// Name of a test of one of `cases` and a product.
template <typename Case>
std::string name_of(const testing::TestParamInfo<std::tuple<Case, Product>>& test) {
  return std::get<0>(test.param).name + name_of(std::get<1>(test.param));
}

/// Storage of the operands.
inline DType operand_type(Product product) {
  return product == Product::bf16 ? DType::bf16 : DType::f32;
}

/// Values that the operands hold without rounding, so that the reference starts from the same.
inline Tensor operand(Product product, const Shape& shape, std::uint64_t seed) {
  Tensor values = Tensor::random(shape, seed);
  return product == Product::bf16 ? rounded_to_bf16(std::move(values)) : std::move(values);
}

/// Largest error to expect relative to the root mean square of the result, as max_relative_error() measures it.
///
/// f32: a sum of n terms, n up to some thousand, errs by sqrt(n) 2^-24 or so; a few times that for the worst element.
/// TF32: each operand keeps 10 bits after the leading one. Errors of its terms, up to 2^-10 of each, cancel in a random
/// sum like the terms themselves; 6 is for the worst of many elements.
/// bfloat16: operands are exact, sums f32; the result rounds by up to 2^-8 of itself, and the largest elements of a
/// result are some 4 times its root mean square.
inline double tolerance(Product product, DType result) {
  if (result == DType::bf16) return 4.0 * 0x1p-8;
  return product == Product::tf32 ? 6.0 * 0x1p-10 : 1e-5;
}

/// What is in the output before Write::accumulate.
inline constexpr float before = 0.5F;

inline std::vector<double> plus(std::vector<double> a, double b) {
  for (double& value : a)
    value += b;
  return a;
}

}  // namespace dnas::test
