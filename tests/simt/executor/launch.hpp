#pragma once

#include "simt/cuda/vector_types.hpp"

#include <cstddef>
#include <cstdint>

namespace dnas::simt {

// What a device of compute capability 8.0 or 9.0 allows, whichever is more.
inline constexpr unsigned max_threads_per_block = 1024;
inline constexpr unsigned max_block_z = 64;
inline constexpr std::uint64_t max_grid_x = 0x7FFFFFFF;
inline constexpr unsigned max_grid_yz = 65535;
inline constexpr std::size_t max_shared_bytes = 227 * 1024;
inline constexpr std::size_t max_shared_bytes_unasked = 48 * 1024;  // before allow_shared_bytes()
inline constexpr std::size_t max_parameter_bytes = 32764;

struct LaunchRequest {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  std::size_t parameter_bytes = 0;
  const void* kernel = nullptr;                   ///< its address
  void (*call)(const void* arguments) = nullptr;  ///< calls it, for one thread
  const void* arguments = nullptr;
};

enum class LaunchStatus : std::uint8_t { accepted, invalid_value, invalid_configuration };

/// Executes the grid, or records it while a LaunchRecorder lives.
/// @throws Error if the kernel misuses the device
[[nodiscard]] LaunchStatus launch_grid(const LaunchRequest& request);

/// Lets `kernel` be launched with up to `bytes` of dynamic shared memory.
[[nodiscard]] LaunchStatus allow_shared_bytes(const void* kernel, int bytes);

}  // namespace dnas::simt
