#include "device_timing.hpp"

#include "bench_kernels.hpp"

#include <algorithm>
#include <stdexcept>

namespace dnas::cuda_test {
namespace {

/// 10 to 20 ms: longer than it takes to queue a step.
constexpr std::int64_t head_start_cycles = 20'000'000;

}  // namespace

void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(status));
}

DeviceMemory allocate(std::size_t bytes) {
  void* p = nullptr;
  check(cudaMalloc(&p, bytes), "cudaMalloc");
  return DeviceMemory(static_cast<std::byte*>(p));
}

Stream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return Stream(stream);
}

Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "cudaEventCreate");
  return Event(event);
}

DeviceDescription describe_device(std::string& reason) {
  DeviceDescription d;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    reason = status != cudaSuccess ? cudaGetErrorString(status) : "there is none";
    return d;
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  check(cudaDriverGetVersion(&d.driver), "cudaDriverGetVersion");
  check(cudaRuntimeGetVersion(&d.runtime), "cudaRuntimeGetVersion");
  d.name = properties.name;
  d.major = properties.major;
  d.minor = properties.minor;
  d.multiprocessors = properties.multiProcessorCount;
  d.l2_bytes = static_cast<std::size_t>(properties.l2CacheSize);
  return d;
}

GraphExec capture(cudaStream_t stream, const Work& work) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t captured = nullptr;
  try {
    work(stream);
  } catch (...) {
    (void)cudaStreamEndCapture(stream, &captured);
    throw;
  }
  check(cudaStreamEndCapture(stream, &captured), "cudaStreamEndCapture");
  const Owner<cudaGraph_t, cudaGraphDestroy> graph(captured);
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
  return GraphExec(executable);
}

std::vector<double> time(cudaStream_t stream, const Work& work, int warmup, int repeat) {
  for (int i = 0; i < warmup; ++i)
    work(stream);
  const Event begin = make_event();
  const Event end = make_event();
  std::vector<double> seconds;
  for (int i = 0; i < repeat; ++i) {
    check(cudaEventRecord(begin.get(), stream), "cudaEventRecord");
    work(stream);
    check(cudaEventRecord(end.get(), stream), "cudaEventRecord");
    check(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
    float ms = 0.0F;
    check(cudaEventElapsedTime(&ms, begin.get(), end.get()), "cudaEventElapsedTime");
    seconds.push_back(1e-3 * static_cast<double>(ms));
  }
  return seconds;
}

std::vector<std::vector<double>> time_each(cudaStream_t stream, const std::vector<Work>& works, int warmup,
                                           int repeat) {
  std::vector<Event> events;
  for (std::size_t i = 0; i <= works.size(); ++i)
    events.push_back(make_event());
  std::vector<std::vector<double>> seconds(works.size());
  for (int r = -warmup; r < repeat; ++r) {
    wait_cycles(head_start_cycles, stream);
    check(cudaEventRecord(events[0].get(), stream), "cudaEventRecord");
    for (std::size_t i = 0; i < works.size(); ++i) {
      works[i](stream);
      check(cudaEventRecord(events[i + 1].get(), stream), "cudaEventRecord");
    }
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    for (std::size_t i = 0; r >= 0 && i < works.size(); ++i) {
      float ms = 0.0F;
      check(cudaEventElapsedTime(&ms, events[i].get(), events[i + 1].get()), "cudaEventElapsedTime");
      seconds[i].push_back(1e-3 * static_cast<double>(ms));
    }
  }
  return seconds;
}

double median(std::vector<double> values) {
  if (values.empty()) throw std::invalid_argument("median of no values");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 == 1) return *middle;
  return 0.5 * (*middle + *std::ranges::max_element(values.begin(), middle));
}

double smallest(const std::vector<double>& values) {
  return *std::ranges::min_element(values);
}

Ceilings measure_ceilings(cudaStream_t stream, const DeviceDescription& device) {
  constexpr int repeat = 20;
  constexpr int chain = 500;
  Ceilings c;
  {
    std::size_t available = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&available, &total), "cudaMemGetInfo");
    const std::size_t bytes = std::min(std::size_t{2} << 30, available / 4) / 256 * 256;  // far beyond any cache
    const DeviceMemory from = allocate(bytes);
    const DeviceMemory to = allocate(bytes);
    for (std::byte* p : {from.get(), to.get()})
      fill_uniform({p, Shape{static_cast<std::int64_t>(bytes / sizeof(float))}}, 1, stream);
    const auto copy = [&](void* s) {
      check(cudaMemcpyAsync(to.get(), from.get(), bytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(s)),
            "cudaMemcpyAsync");
    };
    c.copy_bytes = 2.0 * static_cast<double>(bytes) / median(time(stream, copy, 3, repeat));
  }
  {
    const int blocks = 8 * device.multiprocessors;  // 2048 threads for each multiprocessor
    const std::size_t count = static_cast<std::size_t>(blocks) * 256;
    const DeviceMemory y = allocate(count * sizeof(float));
    double flops = 0.0;
    const auto multiply = [&](void* s) { flops = multiply_add(blocks, {reinterpret_cast<float*>(y.get()), count}, s); };
    const double seconds = median(time(stream, multiply, 3, repeat));
    c.vector_flops = flops / seconds;
  }
  const auto many = [](void* s) {
    for (int i = 0; i < chain; ++i)
      nothing(s);
  };
  c.stream_launch_seconds = median(time(stream, many, 3, repeat)) / chain;
  const GraphExec graph = capture(stream, many);
  const auto replay = [&](void* s) {
    check(cudaGraphLaunch(graph.get(), static_cast<cudaStream_t>(s)), "cudaGraphLaunch");
  };
  c.graph_launch_seconds = median(time(stream, replay, 3, repeat)) / chain;
  std::vector<double> each;
  for (const std::vector<double>& seconds : time_each(stream, std::vector<Work>(100, nothing), 2, 5))
    each.push_back(median(seconds));
  c.event_seconds = median(each);
  return c;
}

}  // namespace dnas::cuda_test
