#pragma once

#include "core/cublaslt.hpp"
#include "core/pass.hpp"
#include "core/planned_view.hpp"
#include "core/product.hpp"
#include "dnas/kernels/linear.hpp"
#include "dnas/kernels/pointwise_conv.hpp"

#include <cstddef>
#include <span>

// Device side of linear.hpp, and of pointwise_conv.hpp for products large enough, by cuBLASLt. The gradient of the bias
// is column_sums_cuda.hpp.
namespace dnas::kernels::cuda {

struct MatmulOptions {
  Product product = Product::tf32;  ///< tf32x3: f32 without tensor cores
  Write write = Write::overwrite;   ///< how the result is stored
  bool bias = false;                ///< y = x W^T + b, forward pass only, y and b f32
  std::size_t workspace_limit = 0;  ///< bytes a run may ask for
};

/// One pass with its algorithm chosen by cuBLASLt's heuristics. Products split along the summed index keep their parts
/// in f32 in the workspace and add them in a second step; schemes that add them in the output, in the order in which
/// blocks come, or in bfloat16, are refused. So a plan's results are bitwise repeatable on a device.
class MatmulPlan {
 public:
  /// Device scratch for run(), aligned to library_workspace_alignment.
  [[nodiscard]] std::size_t workspace_bytes() const noexcept { return workspace_bytes_; }

  /// Views as planned and b [O] (null without a bias), in device memory. Asynchronous on `stream` (a cudaStream_t), no
  /// allocation, capture-safe. One run at a time, since the plan holds the address of b for cuBLASLt.
  /// @throws ShapeError, DtypeError if a view differs from the planned one; DeviceError
  void run(cublasLtHandle_t handle, const TensorView& x, const TensorView& w, const TensorView& b, const TensorView& y,
           std::span<std::byte> workspace, void* stream);

 private:
  MatmulPlan(cublasLtHandle_t handle, const char* operation, Pass pass, const TensorView& x, const TensorView& w,
             const TensorView& y, const MatmulOptions& options);
  friend MatmulPlan plan_linear(cublasLtHandle_t, Pass, const TensorView&, const TensorView&, const TensorView&,
                                const MatmulOptions&);
  friend MatmulPlan plan_pointwise_conv(cublasLtHandle_t, Pass, const PointwiseConv&, const TensorView&,
                                        const TensorView&, const TensorView&, const MatmulOptions&);
  void choose(cublasLtHandle_t handle, const MatmulOptions& options);

  const char* operation_;
  Pass pass_;
  bool bias_;
  float beta_;
  PlannedView x_;
  PlannedView w_;
  PlannedView y_;
  CublasLtDesc product_;
  CublasLtLayout a_;
  CublasLtLayout b_;
  CublasLtLayout d_;
  cublasLtMatmulAlgo_t algorithm_{};
  std::size_t workspace_bytes_ = 0;
};

/// x [N, I], w [O, I], y [N, O], x and y dense or slices of wider rows. Views need no memory yet; where they have a
/// pointer, runs may not bring a less aligned one. Operands have the type of the product; y and dx that type or f32; dw
/// f32.
/// @throws ShapeError, DtypeError, ConfigError for wrong arguments, UnsupportedError if no algorithm will do,
/// DeviceError
[[nodiscard]] MatmulPlan plan_linear(cublasLtHandle_t handle, Pass pass, const TensorView& x, const TensorView& w,
                                     const TensorView& y, const MatmulOptions& options);

/// x [N, H, W, Cin] and y [N, H, W, Cout], dense or channel slices, w [Cout, Cin]; else as plan_linear.
/// @throws UnsupportedError for a stride or an offset: those pixels have no constant distance
[[nodiscard]] MatmulPlan plan_pointwise_conv(cublasLtHandle_t handle, Pass pass, const PointwiseConv& conv,
                                             const TensorView& x, const TensorView& w, const TensorView& y,
                                             const MatmulOptions& options);

}  // namespace dnas::kernels::cuda
