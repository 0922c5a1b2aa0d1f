#pragma once

namespace dnas::apps {

/// While it lives, SIGINT, SIGTERM and SIGUSR2 are requests to stop at the next step; a second SIGINT leaves at once.
/// SIGPIPE is ignored: a reader of our output that goes away does not end a search. One at a time.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  [[nodiscard]] bool requested() const noexcept { return signal() != 0; }
  /// The first signal that came; 0: none.
  [[nodiscard]] int signal() const noexcept;
};

}  // namespace dnas::apps
