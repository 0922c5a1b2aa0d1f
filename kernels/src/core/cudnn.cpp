#include "core/cudnn.hpp"

#include "core/cuda_device.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::kernels::cuda {

namespace {

CudaHandle<cudnnBackendDescriptor_t, cudnnBackendDestroyDescriptor> create(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t descriptor = nullptr;
  DNAS_CUDA_CHECK(cudnnBackendCreateDescriptor(type, &descriptor));
  return CudaHandle<cudnnBackendDescriptor_t, cudnnBackendDestroyDescriptor>(descriptor);
}

}  // namespace

std::string status_text(cudnnStatus_t status) {
  std::array<char, 512> reason{};
  cudnnGetLastErrorString(reason.data(), reason.size());
  reason.back() = '\0';
  const char* const name = cudnnGetErrorString(status);
  return reason.front() == '\0' ? std::string(name) : fmt::format("{}, {}", name, reason.data());
}

CudnnHandle make_cudnn(int device) {
  const CurrentDevice current(device);
  cudnnHandle_t handle = nullptr;
  DNAS_CUDA_CHECK(cudnnCreate(&handle));
  return CudnnHandle(handle);
}

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) : descriptor_(create(type)) {}

void CudnnDescriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::size_t count,
                              const void* values) {
  DNAS_CUDA_CHECK(cudnnBackendSetAttribute(get(), name, type, static_cast<std::int64_t>(count), values));
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, std::span<const std::int64_t> values) {
  set_raw(name, CUDNN_TYPE_INT64, values.size(), values.data());
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, std::int64_t value) {
  set_raw(name, CUDNN_TYPE_INT64, 1, &value);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, float value) {
  set_raw(name, CUDNN_TYPE_FLOAT, 1, &value);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
  set_raw(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnConvolutionMode_t value) {
  set_raw(name, CUDNN_TYPE_CONVOLUTION_MODE, 1, &value);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendHeurMode_t value) {
  set_raw(name, CUDNN_TYPE_HEUR_MODE, 1, &value);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnHandle_t value) {
  set_raw(name, CUDNN_TYPE_HANDLE, 1, &value);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
  cudnnBackendDescriptor_t const descriptor = value.get();
  set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &descriptor);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, std::string_view text) {
  set_raw(name, CUDNN_TYPE_CHAR, text.size(), text.data());
}

void CudnnDescriptor::set_pointers(cudnnBackendAttributeName_t name, std::span<void* const> values) {
  set_raw(name, CUDNN_TYPE_VOID_PTR, values.size(), values.data());
}

cudnnStatus_t CudnnDescriptor::try_finalize() {
  return cudnnBackendFinalize(get());
}

void CudnnDescriptor::finalize() {
  DNAS_CUDA_CHECK(cudnnBackendFinalize(get()));
}

CudnnDevice::CudnnDevice(std::string_view properties) {
  properties_.emplace(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties_->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, properties);
  properties_->finalize();
}

}  // namespace dnas::kernels::cuda
