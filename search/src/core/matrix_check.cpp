#include "core/matrix_check.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::search {

void check_matrix(std::string_view where, const TensorView& matrix, const Shape& shape) {
  if (matrix.data == nullptr) throw ShapeError(fmt::format("{} has no data", where));
  if (matrix.dtype != DType::f32) {
    throw DtypeError(fmt::format("{} is {}, expected {}", where, to_string(matrix.dtype), to_string(DType::f32)));
  }
  if (matrix.shape != shape) {
    throw ShapeError(fmt::format("{} is {}, expected {}", where, matrix.shape.to_string(), shape.to_string()));
  }
  if (!matrix.dense()) throw ShapeError(fmt::format("{} is a slice, expected a dense matrix", where));
}

}  // namespace dnas::search
