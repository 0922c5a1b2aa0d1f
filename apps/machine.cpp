#include "machine.hpp"

#include "dnas/kernels/context.hpp"

#include <sched.h>
#include <sys/utsname.h>

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <string_view>
#include <thread>

namespace dnas::apps {
namespace {

/// The value of the first "key<space>: value" line of a file under /proc; empty if there is none.
std::string proc_value(const char* file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const std::size_t colon = line.find(':');
    const std::size_t value = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    return value == std::string::npos ? std::string() : line.substr(value);
  }
  return {};
}

std::string compiler() {
#if defined(__clang__)
  return fmt::format("clang++ {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
  return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
  return "unknown";
#endif
}

int processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

MachineInfo machine_info() {
  MachineInfo info{.version = DNAS_VERSION,
                   .compiler = compiler(),
                   .build_type = DNAS_BUILD_TYPE,
                   .cpu = proc_value("/proc/cpuinfo", "model name"),
                   .isa = std::string(cpu_isa()),
                   .system = "unknown",
                   .processors = processors()};
  if (info.cpu.empty()) info.cpu = "unknown";
  utsname name{};
  if (::uname(&name) == 0) info.system = fmt::format("{} {} {}", name.sysname, name.release, name.machine);
  return info;
}

std::size_t peak_memory() {
  const std::string text = proc_value("/proc/self/status", "VmHWM");  // "12345 kB"
  std::size_t kibibytes = 0;
  std::from_chars(text.data(), text.data() + text.size(), kibibytes);
  return kibibytes * 1024;
}

}  // namespace dnas::apps
