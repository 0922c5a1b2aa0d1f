#include "bench_kernels.hpp"
#include "device_timing.hpp"
#include "simt/darts_step.hpp"

#include <cuda_runtime_api.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// Measures the launches of a DARTS step on a device, each and all together, against what they were counted to take.
namespace dnas::cuda_test {
namespace {

using kernels::cuda::DeviceRates;
using kernels::cuda::KernelCost;
using kernels::cuda::Product;

constexpr int no_device = 77;  // what ctest takes for "skipped"

constexpr const char* usage = R"(usage: cuda_step_bench [OPTION]...

Runs the launches of one forward and backward pass of a DARTS supernet on random data on the GPU and prints, for each
operation, the time measured beside the time counted for an H100. Operations without a kernel of ours are listed as not
run. Exit code 77: there is no CUDA device.

  --precision f32|tf32|bf16   storage and products: f32 with products of f32 accuracy, f32 with TF32 products, bf16
                              with bf16 products (default tf32)
  --step weights|arch         which gradients (default weights)
  --repeat N                  measured repetitions (default 20)
  --channels N --layers N --batch N --side N   of the supernet (default 16, 8, 64, 32)
  --json FILE                 write everything there too
  --plan                      measure nothing, only print what is counted; needs no device
)";

struct Options {
  std::string precision = "tf32";
  std::string step = "weights";
  std::string json;
  int repeat = 20;
  bool plan = false;
  simt::DartsStepOptions network;
  DeviceRates peak = kernels::cuda::h100_tf32;
};

std::int64_t positive(std::string_view name, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > 1'000'000) {
    throw std::invalid_argument(std::string(name) + ": expected a number from 1 to 1000000, got '" + std::string(text) +
                                "'");
  }
  return value;
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--plan") {
      o.plan = true;
      continue;
    }
    if (i + 1 == argc) throw std::invalid_argument("unknown option or no value: " + std::string(name));
    const std::string_view value = argv[++i];
    if (name == "--precision" && (value == "f32" || value == "tf32" || value == "bf16")) {
      o.precision = value;
    } else if (name == "--step" && (value == "weights" || value == "arch")) {
      o.step = value;
    } else if (name == "--json") {
      o.json = value;
    } else if (name == "--repeat") {
      o.repeat = static_cast<int>(positive(name, value));
    } else if (name == "--channels") {
      o.network.channels = positive(name, value);
    } else if (name == "--layers") {
      o.network.layers = static_cast<int>(positive(name, value));
    } else if (name == "--batch") {
      o.network.batch = positive(name, value);
    } else if (name == "--side") {
      o.network.side = positive(name, value);
    } else {
      throw std::invalid_argument("unknown option or value: " + std::string(name) + " " + std::string(value));
    }
  }
  o.network.weight_step = o.step == "weights";
  if (o.precision == "bf16") {
    o.network.dtype = DType::bf16;
    o.network.product = Product::bf16;
    o.peak = kernels::cuda::h100_bf16;
  } else if (o.precision == "f32") {
    o.network.product = Product::tf32x3;
    o.peak.tensor_flops /= 3.0;  // three products for one
  }
  return o;
}

// --- measuring ------------------------------------------------------------------------------------------------------

struct Measurement {
  std::vector<std::optional<double>> launch;  // seconds of each, medians
  std::vector<double> graph;                  // seconds of a replay of all
  std::vector<double> stream;                 // seconds of all, launched one by one
  unsigned long long nonfinite = 0;           // elements after one pass over fresh random data
};

void fill(const simt::StepMemory& memory, cudaStream_t stream) {
  std::uint64_t seed = 0;
  for (const TensorView& tensor : memory.tensors)
    fill_uniform(tensor, seed += std::uint64_t{1} << 40, stream);
  for (const std::span<std::byte> workspace : memory.workspaces)
    check(cudaMemsetAsync(workspace.data(), 0, workspace.size(), stream), "cudaMemsetAsync");
}

unsigned long long nonfinite(const simt::StepMemory& memory, cudaStream_t stream) {
  const DeviceMemory count = allocate(sizeof(unsigned long long));
  check(cudaMemsetAsync(count.get(), 0, sizeof(unsigned long long), stream), "cudaMemsetAsync");
  for (const TensorView& tensor : memory.tensors)
    count_nonfinite(tensor, reinterpret_cast<unsigned long long*>(count.get()), stream);
  unsigned long long result = 0;
  check(cudaMemcpyAsync(&result, count.get(), sizeof result, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  return result;
}

Measurement measure(const std::vector<simt::StepLaunch>& launches, const simt::StepMemory& memory, int repeat,
                    cudaStream_t stream) {
  Measurement m;
  m.launch.resize(launches.size());
  std::vector<Work> works;
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < launches.size(); ++i) {
    if (!launches[i].run) continue;
    works.push_back(launches[i].run);
    positions.push_back(i);
  }
  if (works.empty()) return m;

  fill(memory, stream);
  // Once one by one, so that a fault is laid at the right door.
  for (std::size_t i = 0; i < works.size(); ++i) {
    works[i](stream);
    check(cudaStreamSynchronize(stream), launches[positions[i]].operation.c_str());
  }
  m.nonfinite = nonfinite(memory, stream);

  fill(memory, stream);
  const std::vector<std::vector<double>> seconds = time_each(stream, works, 2, repeat);
  for (std::size_t i = 0; i < works.size(); ++i)
    m.launch[positions[i]] = median(seconds[i]);

  const auto all = [&](void* s) {
    for (const Work& work : works)
      work(s);
  };
  fill(memory, stream);
  m.stream = time(stream, all, 2, repeat);
  const GraphExec graph = capture(stream, all);
  fill(memory, stream);
  m.graph = time(
      stream, [&](void* s) { check(cudaGraphLaunch(graph.get(), static_cast<cudaStream_t>(s)), "cudaGraphLaunch"); }, 3,
      repeat);
  return m;
}

// --- reporting ------------------------------------------------------------------------------------------------------

struct Row {
  std::string operation;
  KernelCost cost;
  double floor = 0.0;
  double predicted = 0.0;
  double measured = 0.0;
  bool run = true;
};

/// One row per operation in order of appearance, then the sums of what was run and of everything.
std::vector<Row> rows_of(const std::vector<simt::StepLaunch>& launches, const Measurement& m, const DeviceRates& peak) {
  std::vector<Row> rows;
  Row ran{"all that ran", {}};
  Row all{"everything", {}};
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const simt::StepLaunch& launch = launches[i];
    Row* row = nullptr;
    for (Row& each : rows) {
      if (each.operation == launch.operation) row = &each;
    }
    if (row == nullptr) row = &rows.emplace_back(Row{launch.operation, {}});
    const std::optional<double> seconds_measured = m.launch[i];
    for (Row* to : {row, &ran, &all}) {
      if (!seconds_measured && to == &ran) continue;
      to->cost += launch.cost;
      to->floor += seconds(launch.cost, peak);
      to->predicted += seconds(launch.cost, expected(peak));
      to->measured += seconds_measured.value_or(0.0);
      to->run = to->run && seconds_measured.has_value();
    }
  }
  ran.run = ran.cost.launches > 0;
  rows.push_back(ran);
  rows.push_back(all);
  return rows;
}

void print_table(const std::vector<Row>& rows) {
  std::printf(
      "| operation | launches | GB | floor ms | predicted ms | measured ms | floor / measured | GB/s | GFLOP/s |\n");
  std::printf("|---|---|---|---|---|---|---|---|---|\n");
  for (const Row& r : rows) {
    std::printf("| %s | %d | %.3f | %.3f | %.3f |", r.operation.c_str(), r.cost.launches, r.cost.bytes / 1e9,
                1e3 * r.floor, 1e3 * r.predicted);
    if (r.run) {
      std::printf(" %.3f | %.0f %% | %.0f | %.0f |\n", 1e3 * r.measured, 100.0 * r.floor / r.measured,
                  r.cost.bytes / r.measured / 1e9, (r.cost.vector_flops + r.cost.tensor_flops) / r.measured / 1e9);
    } else {
      std::printf(" not run | | | |\n");
    }
  }
}

void print(const Options& o, const simt::StepMemory& memory, const std::vector<Row>& rows,
           const std::optional<Measurement>& m, const DeviceDescription& device, const Ceilings& ceilings) {
  std::printf("%s step, %s; %lld channels, %d cells, batch %lld of %lldx%lld; %.2f GiB of tensors\n", o.step.c_str(),
              o.precision.c_str(), static_cast<long long>(o.network.channels), o.network.layers,
              static_cast<long long>(o.network.batch), static_cast<long long>(o.network.side),
              static_cast<long long>(o.network.side), static_cast<double>(memory.bytes) / 0x1p30);
  if (m) {
    std::printf("%s, %d multiprocessors, %.0f MiB of second-level cache, driver for CUDA %d, runtime %d\n",
                device.name.c_str(), device.multiprocessors, static_cast<double>(device.l2_bytes) / 0x1p20,
                device.driver, device.runtime);
    std::printf("copy %.2f TB/s; multiply-adds %.1f TFLOP/s; empty kernels: %.2f us in a graph, %.2f us one by one, ",
                ceilings.copy_bytes / 1e12, ceilings.vector_flops / 1e12, 1e6 * ceilings.graph_launch_seconds,
                1e6 * ceilings.stream_launch_seconds);
    std::printf("%.2f us as measured below\n", 1e6 * ceilings.event_seconds);
  }
  std::printf("\n");
  print_table(rows);
  std::printf("\n");
  if (!m || m->graph.empty()) {
    std::printf("nothing was run\n");
    return;
  }
  std::printf("all that ran, as a graph: %.3f ms median, %.3f ms least; launched one by one: %.3f ms\n",
              1e3 * median(m->graph), 1e3 * smallest(m->graph), 1e3 * median(m->stream));
  std::printf("elements that are not finite after one pass: %llu\n", m->nonfinite);
}

void write_json(const Options& o, const simt::StepMemory& memory, const std::vector<simt::StepLaunch>& launches,
                const std::vector<Row>& rows, const std::optional<Measurement>& m, const DeviceDescription& device,
                const Ceilings& c) {
  std::FILE* const file = std::fopen(o.json.c_str(), "w");
  if (file == nullptr) throw std::runtime_error("cannot write " + o.json);
  const auto time_or_null = [&](bool there, double value) {
    if (there) {
      std::fprintf(file, "%.9g", value);
    } else {
      std::fprintf(file, "null");
    }
  };
  const auto cost = [&](const KernelCost& k) {
    std::fprintf(file, "\"launches\": %d, \"bytes\": %.17g, \"vector_flops\": %.17g, \"tensor_flops\": %.17g",
                 k.launches, k.bytes, k.vector_flops, k.tensor_flops);
  };
  std::fprintf(file, "{\n\"precision\": \"%s\", \"step\": \"%s\", \"repeat\": %d,\n", o.precision.c_str(),
               o.step.c_str(), o.repeat);
  std::fprintf(file, "\"channels\": %lld, \"layers\": %d, \"batch\": %lld, \"side\": %lld, \"tensor_bytes\": %zu,\n",
               static_cast<long long>(o.network.channels), o.network.layers, static_cast<long long>(o.network.batch),
               static_cast<long long>(o.network.side), memory.bytes);
  if (m) {
    std::fprintf(file, "\"device\": {\"name\": \"%s\", \"capability\": \"%d.%d\", \"multiprocessors\": %d, ",
                 device.name.c_str(), device.major, device.minor, device.multiprocessors);
    std::fprintf(file, "\"l2_bytes\": %zu, \"driver\": %d, \"runtime\": %d},\n", device.l2_bytes, device.driver,
                 device.runtime);
    std::fprintf(file, "\"ceilings\": {\"copy_bytes_per_s\": %.6g, \"vector_flops_per_s\": %.6g, ", c.copy_bytes,
                 c.vector_flops);
    std::fprintf(file, "\"graph_launch_s\": %.6g, \"stream_launch_s\": %.6g, \"event_s\": %.6g},\n",
                 c.graph_launch_seconds, c.stream_launch_seconds, c.event_seconds);
  }
  const bool ran = m && !m->graph.empty();
  std::fprintf(file, "\"graph_s\": ");
  time_or_null(ran, ran ? median(m->graph) : 0.0);
  std::fprintf(file, ", \"graph_least_s\": ");
  time_or_null(ran, ran ? smallest(m->graph) : 0.0);
  std::fprintf(file, ", \"stream_s\": ");
  time_or_null(ran, ran ? median(m->stream) : 0.0);
  std::fprintf(file, ", \"nonfinite\": %llu,\n\"operations\": [", m ? m->nonfinite : 0ULL);
  const char* separator = "\n";
  for (const Row& r : rows) {
    std::fprintf(file, "%s  {\"operation\": \"%s\", ", separator, r.operation.c_str());
    cost(r.cost);
    std::fprintf(file, ", \"floor_s\": %.9g, \"predicted_s\": %.9g, \"measured_s\": ", r.floor, r.predicted);
    time_or_null(r.run, r.measured);
    std::fprintf(file, "}");
    separator = ",\n";
  }
  std::fprintf(file, "\n],\n\"launches\": [");
  separator = "\n";
  for (std::size_t i = 0; i < launches.size(); ++i) {
    std::fprintf(file, "%s  {\"operation\": \"%s\", ", separator, launches[i].operation.c_str());
    cost(launches[i].cost);
    std::fprintf(file, ", \"floor_s\": %.9g, \"measured_s\": ", seconds(launches[i].cost, o.peak));
    const std::optional<double> measured = m ? m->launch[i] : std::nullopt;
    time_or_null(measured.has_value(), measured.value_or(0.0));
    std::fprintf(file, "}");
    separator = ",\n";
  }
  std::fprintf(file, "\n]\n}\n");
  if (std::fclose(file) != 0) throw std::runtime_error("cannot write " + o.json);
}

int run(Options o) {
  simt::StepMemory memory;
  std::vector<simt::StepLaunch> launches = simt::darts_step(o.network, &memory);
  DeviceDescription device;
  Ceilings ceilings;
  std::optional<Measurement> measurement;
  DeviceMemory arena;
  Stream stream;
  if (!o.plan) {
    std::string reason;
    device = describe_device(reason);
    if (device.name.empty()) {
      std::printf("skipped: no CUDA device (%s)\n", reason.c_str());
      return no_device;
    }
    stream = make_stream();
    ceilings = measure_ceilings(stream.get(), device);
    arena = allocate(memory.bytes);
    o.network.base = reinterpret_cast<std::uintptr_t>(arena.get());
    launches = simt::darts_step(o.network, &memory);
    measurement = measure(launches, memory, o.repeat, stream.get());
  }
  const Measurement none{.launch = std::vector<std::optional<double>>(launches.size()), .graph = {}, .stream = {}};
  const std::vector<Row> rows = rows_of(launches, measurement ? *measurement : none, o.peak);
  print(o, memory, rows, measurement, device, ceilings);
  if (!o.json.empty()) write_json(o, memory, launches, rows, measurement, device, ceilings);
  return 0;
}

}  // namespace
}  // namespace dnas::cuda_test

int main(int argc, char** argv) {
  using namespace dnas::cuda_test;  // NOLINT(google-build-using-namespace)
  if (argc > 1 && (std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0)) {
    std::fputs(usage, stdout);
    return 0;
  }
  try {
    return run(parse(argc, argv));
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "cuda_step_bench: %s\n\n%s", error.what(), usage);
    return 64;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cuda_step_bench: %s\n", error.what());
    return 1;
  }
}
