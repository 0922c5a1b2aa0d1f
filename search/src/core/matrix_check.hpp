#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <string_view>

namespace dnas::search {

/// `matrix` must be dense f32 [rows, columns] of this shape, with data. `where` is "operation: argument".
/// @throws ShapeError, DtypeError
void check_matrix(std::string_view where, const TensorView& matrix, const Shape& shape);

}  // namespace dnas::search
