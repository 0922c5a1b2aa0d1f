#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

namespace dnas::engine {

/// Append-only text file of whole lines.
///
/// lines() goes into each checkpoint; opening with that number cuts off what was written after it, so a resumed run's
/// file has no gap and no duplicate. Lines are counted, not bytes: their number does not depend on the time of day.
class LineLog {
 public:
  /// @param keep  lines to keep of an existing file; 0 starts anew
  /// @throws IoError; DataError if the file has fewer lines
  LineLog(const std::filesystem::path& path, std::uint64_t keep);
  LineLog(LineLog&&) noexcept;
  LineLog& operator=(LineLog&&) noexcept;
  ~LineLog();

  /// Adds a line. @throws Error if `line` holds a newline; IoError, and then the file ends after the line before
  void write(std::string_view line);
  /// fsync. @throws IoError
  void sync();
  [[nodiscard]] std::uint64_t lines() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dnas::engine
