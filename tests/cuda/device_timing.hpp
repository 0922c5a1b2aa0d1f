#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

// Time and memory of a device, for measurements.
namespace dnas::cuda_test {

/// @throws std::runtime_error naming `call`
void check(cudaError_t status, const char* call);

struct DeviceFree {
  void operator()(std::byte* p) const noexcept { (void)cudaFree(p); }
};
using DeviceMemory = std::unique_ptr<std::byte, DeviceFree>;
[[nodiscard]] DeviceMemory allocate(std::size_t bytes);

template <typename Handle, cudaError_t (*Destroy)(Handle)>
struct Destroyer {
  void operator()(Handle handle) const noexcept { (void)Destroy(handle); }
};
template <typename Handle, cudaError_t (*Destroy)(Handle)>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroyer<Handle, Destroy>>;
using Stream = Owner<cudaStream_t, cudaStreamDestroy>;
using Event = Owner<cudaEvent_t, cudaEventDestroy>;
using GraphExec = Owner<cudaGraphExec_t, cudaGraphExecDestroy>;

[[nodiscard]] Stream make_stream();
[[nodiscard]] Event make_event();

struct DeviceDescription {
  std::string name;
  int major = 0;
  int minor = 0;
  int multiprocessors = 0;
  std::size_t l2_bytes = 0;
  int driver = 0;  ///< the newest CUDA it serves: 13000 is 13.0
  int runtime = 0;
};

/// @returns an empty name if there is no device; then `reason` says why
[[nodiscard]] DeviceDescription describe_device(std::string& reason);

using Work = std::function<void(void* stream)>;

/// A graph of everything that `work` puts into the stream.
[[nodiscard]] GraphExec capture(cudaStream_t stream, const Work& work);

/// Seconds from before `work` to after it, `repeat` times in order, after `warmup` times unmeasured.
[[nodiscard]] std::vector<double> time(cudaStream_t stream, const Work& work, int warmup, int repeat);

/// Seconds of each of several works as they run one after the other: [work][repetition]. The stream is first kept busy
/// until all are queued, so that no time of the host is measured; caches hold what the works before left there.
[[nodiscard]] std::vector<std::vector<double>> time_each(cudaStream_t stream, const std::vector<Work>& works,
                                                         int warmup, int repeat);

[[nodiscard]] double median(std::vector<double> values);
[[nodiscard]] double smallest(const std::vector<double>& values);

/// What a device can do at most, measured.
struct Ceilings {
  double copy_bytes = 0.0;             ///< a second, read and written together, of a large copy on the device
  double vector_flops = 0.0;           ///< a second, fused multiply-adds of f32
  double graph_launch_seconds = 0.0;   ///< from one kernel of a chain in a graph to the next, if they do nothing
  double stream_launch_seconds = 0.0;  ///< likewise launched one by one
  double event_seconds = 0.0;          ///< what time_each measures of a kernel that does nothing
};

[[nodiscard]] Ceilings measure_ceilings(cudaStream_t stream, const DeviceDescription& device);

}  // namespace dnas::cuda_test
