#pragma once

#include "core/cudnn.hpp"
#include "core/pass.hpp"
#include "core/planned_view.hpp"
#include "core/product.hpp"
#include "dnas/kernels/conv.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

// Device side of conv.hpp, by cuDNN: x and y NHWC, f32 or bfloat16, dense or channel slices; w [Cout, kh, kw, Cin]
// dense.
//
// Through the graph API of cuDNN rather than the older cudnnGetConvolution*Algorithm_v7, which cuDNN 9 deprecates: the
// graph API takes pixel strides, where the older one wants NHWC images packed; each of its engines says whether it is
// deterministic and whether it rounds f32 operands; and it plans for a device that is only described, so that the
// choice is tested without one.
namespace dnas::kernels::cuda {

struct ConvOptions {
  Product product = Product::tf32;  ///< tf32x3: f32 without tensor cores
  Write write = Write::overwrite;   ///< how the result is stored; the forward pass overwrites
  std::size_t workspace_limit = 0;  ///< bytes a run may ask for
};

/// Whether an engine with these notes gives the same bits every time and is as exact as asked: it does not round f32
/// operands on tensor cores unless that is wanted, sums in f32, and uses neither FFT nor Winograd transforms, which
/// lose digits. A note we do not know counts against it.
[[nodiscard]] bool engine_suits(std::span<const cudnnBackendNumericalNote_t> notes, Product product);

/// One pass of a convolution with its engine chosen: the first that cuDNN's heuristics name, that suits, and that keeps
/// within the workspace. So a plan's results are bitwise repeatable on a device.
class ConvPlan {
 public:
  /// Views need no memory yet; where they have a pointer, runs may not bring a less aligned one. dw is f32, all else of
  /// the type of the product.
  /// @throws ShapeError, DtypeError, ConfigError for wrong arguments, UnsupportedError if no engine will do,
  /// DeviceError
  ConvPlan(const CudnnDevice& device, Pass pass, const Conv& conv, const TensorView& x, const TensorView& w,
           const TensorView& y, const ConvOptions& options);

  /// Device scratch for run(), aligned to library_workspace_alignment.
  [[nodiscard]] std::size_t workspace_bytes() const noexcept { return rounded_dw_bytes_ + engine_bytes_; }
  /// cuDNN's number of the engine, for logs.
  [[nodiscard]] std::int64_t engine() const noexcept { return engine_; }

  /// Views as planned, in device memory. Asynchronous on `stream` (a cudaStream_t) and capture-safe; allocates on the
  /// host. A handle serves one thread at a time.
  /// @throws ShapeError, DtypeError if a view differs from the planned one; DeviceError
  void run(cudnnHandle_t handle, const TensorView& x, const TensorView& w, const TensorView& y,
           std::span<std::byte> workspace, void* stream) const;

 private:
  void choose(const CudnnDevice& device, const CudnnDescriptor& graph, const ConvOptions& options);

  Pass pass_;
  Write write_;
  PlannedView x_;
  PlannedView w_;
  PlannedView y_;
  CudnnDescriptor plan_;
  std::int64_t engine_ = -1;
  std::size_t engine_bytes_ = 0;
  std::size_t rounded_dw_bytes_ = 0;  // of dw in bfloat16, before it is added to the f32 one
};

}  // namespace dnas::kernels::cuda
