#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dnas::engine {

/// One record of a run: printed as a JSON object on one line, keys in the order given. Non-finite numbers become null.
using MetricValue = std::variant<std::int64_t, double, bool, std::string, std::vector<double>>;
using Metrics = std::vector<std::pair<std::string, MetricValue>>;

/// Append-only log of metrics, one JSON object per line: {"schema":1,"kind":...,"epoch":...,"step":...,...}.
///
/// Lines are written whole. position() goes into each checkpoint; opening with that position cuts off what was written
/// after it, so a resumed run's file has no gap and no duplicate.
class MetricsLog {
 public:
  /// @param position  bytes to keep of an existing file; 0 starts anew
  /// @throws IoError; DataError if the file is shorter than position
  MetricsLog(const std::filesystem::path& path, std::uint64_t position);
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  ~MetricsLog();

  /// Adds one line. @throws IoError
  void write(std::string_view kind, const Metrics& metrics);
  /// fsync. @throws IoError
  void sync();
  /// Bytes written so far.
  [[nodiscard]] std::uint64_t position() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dnas::engine
