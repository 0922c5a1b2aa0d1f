#include "stop_signals.hpp"

#include "exit_code.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>

namespace dnas::apps {
namespace {

constexpr std::array watched = {SIGINT, SIGTERM, SIGUSR2};

// The only state a signal handler can reach.
std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);
std::array<struct sigaction, watched.size()> previous;
struct sigaction previous_pipe;

void on_signal(int number) {
  if (number == SIGINT && first_signal.load() == SIGINT) _exit(static_cast<int>(ExitCode::interrupted));
  int none = 0;
  if (!first_signal.compare_exchange_strong(none, number) && number == SIGINT) first_signal.store(SIGINT);
}

}  // namespace

StopSignals::StopSignals() {
  first_signal.store(0);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // a write of a checkpoint goes on
  for (std::size_t i = 0; i < watched.size(); ++i)
    sigaction(watched[i], &action, &previous[i]);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &previous_pipe);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < watched.size(); ++i)
    sigaction(watched[i], &previous[i], nullptr);
  sigaction(SIGPIPE, &previous_pipe, nullptr);
}

int StopSignals::signal() const noexcept {
  return first_signal.load();
}

}  // namespace dnas::apps
