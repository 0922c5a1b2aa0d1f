#include "exit_code.hpp"

#include "dnas/kernels/error.hpp"
#include "usage_error.hpp"

#include <new>
#include <system_error>

namespace dnas::apps {
namespace {

template <typename Kind>
bool is(const std::exception& error) noexcept {
  return dynamic_cast<const Kind*>(&error) != nullptr;
}

}  // namespace

ExitCode exit_code_of(const std::exception& error) noexcept {
  if (is<UsageError>(error)) return ExitCode::usage;
  if (is<ConfigError>(error)) return ExitCode::config;
  if (is<DataError>(error)) return ExitCode::data;
  if (is<MissingError>(error)) return ExitCode::missing;
  // fmt::print() and std::filesystem report what the operating system refused as std::system_error.
  if (is<IoError>(error) || is<std::system_error>(error)) return ExitCode::io;
  if (is<NumericalError>(error)) return ExitCode::numerical;
  if (is<DeviceError>(error) || is<UnsupportedError>(error) || is<std::bad_alloc>(error)) return ExitCode::unavailable;
  return ExitCode::internal;
}

}  // namespace dnas::apps
