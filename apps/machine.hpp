#pragma once

#include <cstddef>
#include <string>

namespace dnas::apps {

/// What a measurement depends on besides the program's arguments.
struct MachineInfo {
  std::string version;     ///< of this command
  std::string compiler;    ///< "g++ 12.2.0"
  std::string build_type;  ///< "Release"
  std::string cpu;         ///< the model as /proc/cpuinfo names it; "unknown" where it does not
  std::string isa;         ///< cpu_isa()
  std::string system;      ///< "Linux 6.1.0 x86_64"
  int processors = 0;      ///< that this process may use
};

[[nodiscard]] MachineInfo machine_info();

/// The most memory that this process has had resident so far, in bytes; 0 if the system does not say.
[[nodiscard]] std::size_t peak_memory();

}  // namespace dnas::apps
