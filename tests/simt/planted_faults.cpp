#include "core/launch.cuh"
#include "simt/executor.hpp"
#include "simt/planted_bugs.cuh"

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

// Kernels with bad addresses, for AddressSanitizer and UndefinedBehaviorSanitizer to end the process:
// planted_faults shared | global | misaligned | none
int main(int argc, char** argv) {
  using namespace dnas::simt;
  using dnas::kernels::cuda::launch;
  const std::string fault = argc == 2 ? argv[1] : "";
  std::vector<float> out(planted::threads);
  std::vector<float> short_out(planted::threads - 1);
  try {
    if (fault == "shared") launch("overrun", planted::overrun, {1, planted::threads, 4096}, nullptr, out.data(), 8);
    if (fault == "global")
      launch("overrun", planted::overrun, {1, planted::threads, 4096}, nullptr, short_out.data(), 0);
    if (fault == "misaligned") launch("misaligned", planted::misaligned, {1, 1}, nullptr, out.data(), out.data());
    if (fault == "none") launch("overrun", planted::overrun, {1, planted::threads, 4096}, nullptr, out.data(), 0);
  } catch (const std::exception& error) {
    std::puts(error.what());
    return 1;
  }
  std::puts("no sanitizer noticed anything");
  return 0;
}
