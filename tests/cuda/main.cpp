#include "pinned_memory.hpp"

#include <cuda_runtime_api.h>

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

// The tests of tests/simt on a GPU. Exit codes: those of GoogleTest (0 also if all tests were skipped for want of a
// device), 1 if there was no test to run, and `device_lost`.
namespace dnas::cuda_test {
namespace {

/// A kernel did what makes CUDA refuse all further work of the process: later tests were not run.
constexpr int device_lost = 5;

/// Empty if there is a device to run on.
std::string why_no_device() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return std::string("skipped: no CUDA device (") + cudaGetErrorString(status) + ")";
  if (count == 0) return "skipped: no CUDA device";
  cudaDeviceProp device{};
  int driver = 0;
  int runtime = 0;
  if (cudaGetDeviceProperties(&device, 0) != cudaSuccess || cudaDriverGetVersion(&driver) != cudaSuccess ||
      cudaRuntimeGetVersion(&runtime) != cudaSuccess) {
    return "skipped: no CUDA device (its properties cannot be read)";
  }
  if (device.unifiedAddressing == 0) return "skipped: no CUDA device with unified addressing";
  std::printf("%s, compute capability %d.%d, CUDA runtime %d, driver for %d\n", device.name, device.major, device.minor,
              runtime, driver);
  return {};
}

/// Stands before GoogleTest's printer in the list, so it is called before it at the start of a test and after it at the
/// end.
class BeforePrinter : public testing::EmptyTestEventListener {
 public:
  void OnTestEnd(const testing::TestInfo& /*test*/) override {
    if (cudaDeviceSynchronize() == cudaSuccess) return;
    std::fflush(stdout);
    std::_Exit(device_lost);
  }
};

class AfterPrinter : public testing::EmptyTestEventListener {
 public:
  explicit AfterPrinter(std::string skip) : skip_(std::move(skip)) {}

  void OnTestStart(const testing::TestInfo& /*test*/) override {
    if (!skip_.empty()) GTEST_SKIP() << skip_;
  }
  void OnTestEnd(const testing::TestInfo& /*test*/) override {
    if (!skip_.empty()) return;
    const cudaError_t status = cudaDeviceSynchronize();
    if (status != cudaSuccess) ADD_FAILURE() << "the device is lost: " << cudaGetErrorString(status);
  }

 private:
  std::string skip_;
};

int run(int argc, char** argv) {
  // Tests read results where a launch returns. Set before CUDA looks at it, and after nothing has started a thread.
  setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
  testing::InitGoogleTest(&argc, argv);
  if (GTEST_FLAG_GET(list_tests)) return RUN_ALL_TESTS();

  const std::string skip = why_no_device();
  testing::UnitTest& tests = *testing::UnitTest::GetInstance();
  testing::TestEventListeners& listeners = tests.listeners();
  if (skip.empty()) {
    start_pinned_memory();
    std::unique_ptr<testing::TestEventListener> printer(listeners.Release(listeners.default_result_printer()));
    listeners.Append(std::make_unique<BeforePrinter>().release());
    listeners.Append(printer.release());
  } else {
    std::printf("%s\n", skip.c_str());
  }
  listeners.Append(std::make_unique<AfterPrinter>(skip).release());
  const int result = RUN_ALL_TESTS();
  stop_pinned_memory();
  if (tests.test_to_run_count() == 0) {
    std::fprintf(stderr, "there is no test to run\n");
    return 1;
  }
  return result;
}

}  // namespace
}  // namespace dnas::cuda_test

int main(int argc, char** argv) {
  return dnas::cuda_test::run(argc, argv);
}
