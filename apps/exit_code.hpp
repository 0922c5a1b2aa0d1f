#pragma once

#include <exception>

namespace dnas::apps {

/// What the command ends with. 64 to 78 have the meaning of BSD's sysexits.h; docs/cli.md is the table for users.
enum class ExitCode : int {
  done = 0,
  internal = 1,
  usage = 64,        ///< unknown verb or flag, missing argument
  data = 65,         ///< data set, checkpoint, weights or genotype that is not what it should be
  missing = 66,      ///< an input file that does not exist
  unavailable = 69,  ///< a device, an operation or an amount of memory this machine does not have
  io = 74,           ///< disk full, no permission, I/O error
  stopped = 75,      ///< stopped on a signal with a good checkpoint: run it again
  config = 78,       ///< a setting or a combination of settings that is not acceptable
  numerical = 80,    ///< a loss, gradient or parameter became infinite or not a number
  interrupted = 130  ///< a second SIGINT: left at once
};

[[nodiscard]] ExitCode exit_code_of(const std::exception& error) noexcept;

}  // namespace dnas::apps
