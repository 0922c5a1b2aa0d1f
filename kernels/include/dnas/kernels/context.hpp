#pragma once

#include <cstdint>
#include <string_view>

namespace dnas {

enum class DeviceKind : std::uint8_t { cpu, cuda };

/// Where and with what a kernel runs. The first argument of everything that computes; there are no globals.
///
/// On the CPU it carries the number of threads. Results do not depend on that number: work is cut into pieces by
/// shape alone and partial sums are added in a fixed order.
class Context {
 public:
  /// The host, with `threads` threads; 0 takes the number in OMP_NUM_THREADS if there is one, else the
  /// processors it may use (affinity mask, quota of the control group).
  /// @throws ConfigError if threads is negative, or the environment variable DNAS_ISA is none of the names of cpu_isa()
  [[nodiscard]] static Context cpu(int threads = 0);

  [[nodiscard]] DeviceKind device() const noexcept { return device_; }
  [[nodiscard]] int threads() const noexcept { return threads_; }

 private:
  Context() = default;
  DeviceKind device_ = DeviceKind::cpu;
  int threads_ = 1;
};

/// The instruction set of the host's hand-vectorised loops: "avx512", "avx2" or "baseline". The best that processor and
/// compiler have, or less if the environment variable DNAS_ISA says so.
[[nodiscard]] std::string_view cpu_isa() noexcept;

}  // namespace dnas
