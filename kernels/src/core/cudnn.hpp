#pragma once

#include "core/cuda_check.hpp"
#include "core/cuda_handle.hpp"

#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dnas::kernels::cuda {

/// With what cuDNN says of its last error, if anything.
[[nodiscard]] std::string status_text(cudnnStatus_t status);

using CudnnHandle = CudaHandle<cudnnHandle_t, cudnnDestroy>;

/// @throws DeviceError
[[nodiscard]] CudnnHandle make_cudnn(int device);

/// An object of cuDNN's graph API: created, given its attributes, finalized, then read only. All throw DeviceError.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);

  void set(cudnnBackendAttributeName_t name, std::span<const std::int64_t> values);
  void set(cudnnBackendAttributeName_t name, std::int64_t value);
  void set(cudnnBackendAttributeName_t name, float value);
  void set(cudnnBackendAttributeName_t name, cudnnDataType_t value);
  void set(cudnnBackendAttributeName_t name, cudnnConvolutionMode_t value);
  void set(cudnnBackendAttributeName_t name, cudnnBackendHeurMode_t value);
  void set(cudnnBackendAttributeName_t name, cudnnHandle_t value);
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value);
  void set(cudnnBackendAttributeName_t name, std::string_view text);
  void set_pointers(cudnnBackendAttributeName_t name, std::span<void* const> values);

  /// Status rather than throw: a descriptor that cuDNN cannot serve is refused here.
  [[nodiscard]] cudnnStatus_t try_finalize();
  void finalize();

  [[nodiscard]] cudnnBackendDescriptor_t get() const noexcept { return descriptor_.get(); }

 private:
  void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::size_t count,
               const void* values);
  CudaHandle<cudnnBackendDescriptor_t, cudnnBackendDestroyDescriptor> descriptor_;
};

/// The device that plans are made for.
class CudnnDevice {
 public:
  /// The device of a handle, which has to outlive this.
  explicit CudnnDevice(cudnnHandle_t handle) : handle_(handle) {}

  /// A device that need not be there, by its properties in cuDNN's own JSON. Plans come out as on that device, but they
  /// cannot be run.
  /// @throws DeviceError if cuDNN does not take them
  explicit CudnnDevice(std::string_view properties);

  /// Null if the device is only described.
  [[nodiscard]] cudnnHandle_t handle() const noexcept { return handle_; }
  /// Of a device without a handle.
  [[nodiscard]] const CudnnDescriptor& properties() const { return properties_.value(); }

 private:
  cudnnHandle_t handle_ = nullptr;
  std::optional<CudnnDescriptor> properties_;
};

}  // namespace dnas::kernels::cuda
