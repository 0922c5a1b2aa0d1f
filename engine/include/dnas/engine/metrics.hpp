#pragma once

#include "dnas/engine/line_log.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace dnas::engine {

/// What one record of a run holds, in order. Non-finite numbers become null.
using MetricValue = std::variant<std::int64_t, double, bool, std::string, std::vector<double>>;
using Metrics = std::vector<std::pair<std::string, MetricValue>>;

/// Log of metrics, one JSON object per line: {"schema":1,"kind":...,"epoch":...,"step":...,...}. Resumes as LineLog
/// does.
class MetricsLog {
 public:
  /// @throws as LineLog
  MetricsLog(const std::filesystem::path& path, std::uint64_t keep) : log_(path, keep) {}

  /// Adds one line. @throws IoError; Error if a key appears twice
  void write(std::string_view kind, const Metrics& metrics);
  void sync() { log_.sync(); }
  [[nodiscard]] std::uint64_t lines() const noexcept { return log_.lines(); }

 private:
  LineLog log_;
};

}  // namespace dnas::engine
