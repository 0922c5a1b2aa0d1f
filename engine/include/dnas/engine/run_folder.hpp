#pragma once

#include <filesystem>
#include <memory>

namespace dnas::engine {

/// A run's folder, held exclusively while this object lives (flock on `.lock`, which names host, process and start
/// time for the message that a second run gets; a lock left by a dead process does not hold).
class RunFolder {
 public:
  /// Creates the folder, parents included, if it is missing. @throws IoError; ConfigError if another process holds it
  explicit RunFolder(std::filesystem::path path);
  RunFolder(RunFolder&&) noexcept;
  RunFolder& operator=(RunFolder&&) noexcept;
  ~RunFolder();

  [[nodiscard]] const std::filesystem::path& path() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dnas::engine
