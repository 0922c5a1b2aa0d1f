#include "simt/executor/settings.hpp"

#include "simt/executor/sanitizers.hpp"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace dnas::simt {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

struct Guarded {
  std::mutex mutex;
  Settings settings{.seed = from_environment("SIMT_SEED", 1),
                    .workers = static_cast<unsigned>(from_environment("SIMT_WORKERS", 0))};
};

Guarded& guarded() {
  static Guarded instance;
  return instance;
}

template <typename Value>
void set(Value Settings::*member, Value value) {
  const std::lock_guard lock(guarded().mutex);
  guarded().settings.*member = value;
}

}  // namespace

Settings current_settings() {
  const std::lock_guard lock(guarded().mutex);
  Settings settings = guarded().settings;
  if (settings.workers == 0) {
    // Races between blocks show only between workers (run_blocks in launch.cpp). A worker keeps up to 1024 fibers of
    // two memory mappings each, and Linux gives a process 65,530.
    settings.workers = std::clamp(std::thread::hardware_concurrency(), thread_sanitizer ? 2U : 1U, 16U);
  }
  return settings;
}

void set_schedule(Schedule schedule) noexcept {
  set(&Settings::schedule, schedule);
}

void set_seed(std::uint64_t seed) noexcept {
  set(&Settings::seed, seed);
}

void set_workers(unsigned count) noexcept {
  set(&Settings::workers, count);
}

void set_strict_return(bool strict) noexcept {
  set(&Settings::strict_return, strict);
}

}  // namespace dnas::simt
