#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

// Stands in for tests/simt/executor.hpp where the tests of tests/simt run on a GPU: what they ask of the executor has
// no effect on a device, which has a schedule of its own. Only the recording of launches works as there.
namespace dnas::simt {

class Error : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

enum class Schedule : std::uint8_t { ascending, descending, shuffled, by_warp };

inline constexpr Schedule all_schedules[] = {Schedule::ascending, Schedule::descending, Schedule::shuffled,
                                             Schedule::by_warp};

inline void set_schedule(Schedule /*schedule*/) noexcept {}
inline void set_seed(std::uint64_t /*seed*/) noexcept {}
inline void set_workers(unsigned /*count*/) noexcept {}
inline void set_strict_return(bool /*strict*/) noexcept {}

struct LaunchRecord {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  std::size_t parameter_bytes = 0;  ///< not known here: 0
  const void* kernel = nullptr;
};

/// While it lives, launches are recorded and not executed.
class LaunchRecorder {
 public:
  LaunchRecorder();
  ~LaunchRecorder();
  LaunchRecorder(const LaunchRecorder&) = delete;
  LaunchRecorder& operator=(const LaunchRecorder&) = delete;
  LaunchRecorder(LaunchRecorder&&) = delete;
  LaunchRecorder& operator=(LaunchRecorder&&) = delete;

  [[nodiscard]] std::size_t count() const { return launches_.size(); }
  [[nodiscard]] std::vector<LaunchRecord> launches() const { return launches_; }
  void record(const LaunchRecord& launch) { launches_.push_back(launch); }

 private:
  LaunchRecorder* previous_;
  std::vector<LaunchRecord> launches_;
};

[[nodiscard]] inline LaunchRecorder record_launches() {
  return {};
}

}  // namespace dnas::simt
