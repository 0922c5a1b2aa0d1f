#include "simt/darts_step.hpp"

#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

// Prints what the launches of one DARTS step cost, and how long they should take on an H100. With --check, fails if the
// counts exceed the bounds that docs/kernels.md states.
namespace dnas {
namespace {

using kernels::cuda::DeviceRates;
using kernels::cuda::KernelCost;

struct Row {
  std::string operation;
  KernelCost cost;
  double floor = 0.0;
  double expected = 0.0;
};

/// One row per operation, in order of appearance, and their sum.
std::vector<Row> rows_of(const simt::DartsStepOptions& options, const DeviceRates& peak) {
  std::vector<Row> rows;
  Row sum{"all", {}, 0.0, 0.0};
  for (const simt::StepLaunch& launch : simt::darts_step(options)) {
    Row* row = nullptr;
    for (Row& each : rows) {
      if (each.operation == launch.operation) row = &each;
    }
    if (row == nullptr) row = &rows.emplace_back(Row{launch.operation, {}, 0.0, 0.0});
    for (Row* to : {row, &sum}) {
      to->cost += launch.cost;
      to->floor += seconds(launch.cost, peak);
      to->expected += seconds(launch.cost, expected(peak));
    }
  }
  rows.push_back(sum);
  return rows;
}

void print(const char* title, const std::vector<Row>& rows) {
  std::printf("\n%s\n\n", title);
  std::printf("| operation | launches | GB | vector GFLOP | tensor GFLOP | floor ms | predicted ms |\n");
  std::printf("|---|---|---|---|---|---|---|\n");
  for (const Row& r : rows) {
    std::printf("| %s | %d | %.2f | %.1f | %.1f | %.2f | %.2f |\n", r.operation.c_str(), r.cost.launches,
                r.cost.bytes / 1e9, r.cost.vector_flops / 1e9, r.cost.tensor_flops / 1e9, 1e3 * r.floor,
                1e3 * r.expected);
  }
}

int run(bool check) {
  struct Storage {
    const char* name;
    DType dtype;
    DeviceRates peak;
    double most_bytes;    // of a step
    double most_seconds;  // predicted, of both steps
  };
  bool within = true;
  for (const Storage& s : {Storage{"f32, TF32 products", DType::f32, kernels::cuda::h100_tf32, 8.6e9, 10e-3},
                           Storage{"bf16", DType::bf16, kernels::cuda::h100_bf16, 4.3e9, 6e-3}}) {
    double both = 0.0;
    for (const bool weight_step : {true, false}) {
      simt::DartsStepOptions options;
      options.dtype = s.dtype;
      options.weight_step = weight_step;
      const std::vector<Row> rows = rows_of(options, s.peak);
      print((std::string(weight_step ? "Weight step, " : "Architecture step, ") + s.name).c_str(), rows);
      both += rows.back().expected;
      within = within && rows.back().cost.launches <= 250 && rows.back().cost.bytes <= s.most_bytes;
    }
    std::printf("\nBoth steps, %s: %.2f ms predicted\n", s.name, 1e3 * both);
    within = within && both <= s.most_seconds;
  }
  if (check && !within) {
    std::printf("\nThe counts exceed their bounds\n");
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace dnas

int main(int argc, char** argv) {
  if (argc > 2 || (argc == 2 && std::strcmp(argv[1], "--check") != 0)) {
    std::fprintf(stderr, "usage: cuda_step_cost [--check]\n");
    return 64;
  }
  return dnas::run(argc == 2);
}
