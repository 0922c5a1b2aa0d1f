#pragma once

#include "core/cuda_check.hpp"
#include "core/cuda_device.hpp"
#include "core/cuda_handle.hpp"
#include "dnas/kernels/error.hpp"
#include "support/bf16.hpp"
#include "support/tensors.hpp"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dnas::test {

/// Why there is no device to test on, if there is none.
inline std::optional<std::string> no_device() {
  try {
    kernels::cuda::require_device(0);
    return std::nullopt;
  } catch (const DeviceError& error) {
    return error.what();
  }
}

using Stream = kernels::cuda::CudaHandle<cudaStream_t, cudaStreamDestroy>;

inline Stream make_stream() {
  cudaStream_t stream = nullptr;
  DNAS_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return Stream(stream);
}

inline void wait_for(const Stream& stream) {
  DNAS_CUDA_CHECK(cudaStreamSynchronize(stream.get()));
}

/// Device memory.
class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) : bytes_(bytes) {
    void* p = nullptr;
    if (bytes > 0) DNAS_CUDA_CHECK(cudaMalloc(&p, bytes));
    memory_.reset(static_cast<std::byte*>(p));
  }
  [[nodiscard]] std::byte* data() const { return memory_.get(); }
  [[nodiscard]] std::span<std::byte> span() const { return {memory_.get(), bytes_}; }
  /// With NaN in it, of either floating-point type.
  void fill_with_nan() const {
    if (bytes_ > 0) DNAS_CUDA_CHECK(cudaMemset(memory_.get(), 0xFF, bytes_));
  }

 private:
  kernels::cuda::CudaHandle<std::byte*, cudaFree> memory_;
  std::size_t bytes_;
};

/// A tensor in device memory, with the same gap between pixels and guard bands of NaN as the host's.
class DeviceTensor {
 public:
  /// All NaN.
  DeviceTensor(const Shape& shape, Gap gap, DType dtype)
      : shape_(shape),
        gap_(gap),
        dtype_(dtype),
        channels_(shape[-1]),
        pixel_stride_(channels_ + gap.before + gap.after),
        elements_(static_cast<std::size_t>(2 * guard + shape.elements() / channels_ * pixel_stride_)),
        memory_(elements_ * size_of(dtype)) {
    memory_.fill_with_nan();
  }
  DeviceTensor(const Tensor& values, Gap gap, DType dtype) : DeviceTensor(values.shape(), gap, dtype) {
    std::vector<float> image(elements_, std::numeric_limits<float>::quiet_NaN());
    for (std::int64_t i = 0; i < values.size(); ++i)
      image[place(i)] = values[i];
    std::vector<std::byte> bytes(elements_ * size_of(dtype_));
    for (std::size_t i = 0; i < elements_; ++i) {
      const std::uint16_t half = to_bf16(image[i]);
      std::memcpy(&bytes[i * size_of(dtype_)], dtype_ == DType::bf16 ? static_cast<const void*>(&half) : &image[i],
                  size_of(dtype_));
    }
    DNAS_CUDA_CHECK(cudaMemcpy(memory_.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
  }

  [[nodiscard]] TensorView view() const {
    return {memory_.data() + place(0) * size_of(dtype_), shape_, pixel_stride_, dtype_};
  }

  /// The values; fails the test if anything between or around them is no NaN any more.
  [[nodiscard]] Tensor values() const {
    std::vector<std::byte> bytes(elements_ * size_of(dtype_));
    DNAS_CUDA_CHECK(cudaMemcpy(bytes.data(), memory_.data(), bytes.size(), cudaMemcpyDeviceToHost));
    std::vector<float> image(elements_);
    for (std::size_t i = 0; i < elements_; ++i) {
      std::uint16_t half = 0;
      std::memcpy(dtype_ == DType::bf16 ? static_cast<void*>(&half) : &image[i], &bytes[i * size_of(dtype_)],
                  size_of(dtype_));
      if (dtype_ == DType::bf16) image[i] = from_bf16(half);
    }
    Tensor result(shape_);
    for (std::int64_t i = 0; i < result.size(); ++i) {
      result[i] = image[place(i)];
      image[place(i)] = std::numeric_limits<float>::quiet_NaN();
    }
    for (const float rest : image) {
      EXPECT_TRUE(std::isnan(rest)) << "written beside the tensor";
      if (!std::isnan(rest)) break;
    }
    return result;
  }

 private:
  static constexpr std::int64_t guard =
      128;  // elements: whole 256-byte lines, so that the tensor is as aligned as they

  [[nodiscard]] std::size_t place(std::int64_t i) const {
    return static_cast<std::size_t>(guard + i / channels_ * pixel_stride_ + gap_.before + i % channels_);
  }

  Shape shape_;
  Gap gap_;
  DType dtype_;
  std::int64_t channels_;
  std::int64_t pixel_stride_;
  std::size_t elements_;
  DeviceMemory memory_;
};

/// What `submit()` queues on the stream, captured into a graph that is then launched.
template <typename Submit>
void run_captured(const Stream& stream, Submit&& submit) {
  using kernels::cuda::CudaHandle;
  DNAS_CUDA_CHECK(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
  submit();
  cudaGraph_t graph = nullptr;
  DNAS_CUDA_CHECK(cudaStreamEndCapture(stream.get(), &graph));
  const CudaHandle<cudaGraph_t, cudaGraphDestroy> graph_owner(graph);
  cudaGraphExec_t executable = nullptr;
  DNAS_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
  const CudaHandle<cudaGraphExec_t, cudaGraphExecDestroy> executable_owner(executable);
  DNAS_CUDA_CHECK(cudaGraphLaunch(executable, stream.get()));
  wait_for(stream);
}

}  // namespace dnas::test
