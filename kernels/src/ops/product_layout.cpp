#include "ops/product_layout.hpp"

namespace dnas::kernels {

ColumnMajorProduct column_major(Pass pass, const LinearExtents& e) noexcept {
  switch (pass) {
    case Pass::forward:  // y^T = w x^T
      return {true, false, e.outputs, e.rows, e.inputs, e.inputs, e.x_stride, e.y_stride};
    case Pass::backward_data:  // dx^T = w^T dy^T
      return {false, false, e.inputs, e.rows, e.outputs, e.inputs, e.y_stride, e.x_stride};
    default:  // dw^T = x^T dy
      return {false, true, e.inputs, e.outputs, e.rows, e.x_stride, e.y_stride, e.inputs};
  }
}

}  // namespace dnas::kernels
