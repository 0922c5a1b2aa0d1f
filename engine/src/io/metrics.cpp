#include "dnas/engine/metrics.hpp"

#include "dnas/kernels/error.hpp"
#include "io/posix.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <array>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dnas::engine {
namespace {

constexpr int schema = 1;

/// The record as one line. The JSON library writes the shortest digits that give the number back, and null for what
/// JSON has no number for.
std::string line_of(std::string_view kind, const Metrics& metrics) {
  nlohmann::ordered_json record = {{"schema", schema}, {"kind", kind}};
  for (const auto& [key, value] : metrics) {
    if (record.contains(key))
      throw Error(fmt::format("metrics: the key '{}' appears twice in a '{}' record", key, kind));
    std::visit([&record, &name = key](const auto& content) { record[name] = content; }, value);
  }
  // A path or message with invalid UTF-8 must not end a run: its bad bytes become U+FFFD.
  return record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

}  // namespace

struct MetricsLog::State {
  std::filesystem::path path;
  posix::FileDescriptor file;
  std::uint64_t position = 0;
};

MetricsLog::MetricsLog(const std::filesystem::path& path, std::uint64_t position) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = path;
  s.file = posix::open(path, O_RDWR | O_CREAT | O_NOFOLLOW, "open");
  struct stat status {};
  if (::fstat(s.file.get(), &status) != 0) posix::throw_io("inspect", path, errno);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < position) {
    throw DataError(
        fmt::format("{}: has {} bytes, the checkpoint was written when it had {}; it was cut short or replaced",
                    path.string(), size, position));
  }
  if (position > 0) {
    std::array<std::byte, 1> last{};
    posix::read_at(s.file, position - 1, last, path);
    if (last[0] != std::byte{'\n'}) {
      throw DataError(fmt::format("{}: no line ends at byte {}, where the checkpoint was written; it was changed since",
                                  path.string(), position));
    }
  }
  posix::truncate(s.file, position, path);
  s.position = position;
}

MetricsLog::~MetricsLog() = default;

void MetricsLog::write(std::string_view kind, const Metrics& metrics) {
  State& s = *state_;
  const std::string line = line_of(kind, metrics);
  try {
    posix::write_at(s.file, s.position, std::as_bytes(std::span(line)), s.path);
  } catch (const IoError&) {
    // Take back the part of the line that may have got there; the next write starts at the same place in any case.
    [[maybe_unused]] const int ignored = ::ftruncate(s.file.get(), static_cast<off_t>(s.position));
    throw;
  }
  s.position += line.size();
}

void MetricsLog::sync() {
  posix::sync(state_->file, state_->path);
}

std::uint64_t MetricsLog::position() const noexcept {
  return state_->position;
}

}  // namespace dnas::engine
