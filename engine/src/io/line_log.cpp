#include "dnas/engine/line_log.hpp"

#include "dnas/kernels/error.hpp"
#include "io/posix.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace dnas::engine {
namespace {

/// Bytes that the first `lines` lines take. @throws DataError if there are fewer
std::uint64_t bytes_of_lines(const posix::FileDescriptor& file, std::uint64_t lines,
                             const std::filesystem::path& path) {
  std::array<std::byte, 65536> chunk{};
  std::uint64_t position = 0;
  std::uint64_t seen = 0;
  while (seen < lines) {
    const std::size_t count = posix::read_some(file, chunk, path);
    if (count == 0) {
      throw DataError(
          fmt::format("{}: has {} lines, the checkpoint was written when it had {}; it was cut short or replaced",
                      path.string(), seen, lines));
    }
    for (std::size_t i = 0; i < count && seen < lines; ++i) {
      ++position;
      if (chunk[i] == std::byte{'\n'}) ++seen;
    }
  }
  return position;
}

}  // namespace

struct LineLog::State {
  std::filesystem::path path;
  posix::FileDescriptor file;
  std::uint64_t position = 0;
  std::uint64_t lines = 0;
};

LineLog::LineLog(const std::filesystem::path& path, std::uint64_t keep) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = path;
  s.file = posix::open(path, O_RDWR | O_CREAT | O_NOFOLLOW, "open");
  s.position = bytes_of_lines(s.file, keep, path);
  s.lines = keep;
  posix::truncate(s.file, s.position, path);
}
LineLog::LineLog(LineLog&&) noexcept = default;
LineLog& LineLog::operator=(LineLog&&) noexcept = default;
LineLog::~LineLog() = default;

void LineLog::write(std::string_view line) {
  if (line.find('\n') != std::string_view::npos) {
    throw Error(fmt::format("{}: a line to write holds a newline", state_->path.string()));
  }
  State& s = *state_;
  std::string whole(line);
  whole += '\n';
  try {
    posix::write_at(s.file, s.position, std::as_bytes(std::span(whole)), s.path);
  } catch (const Error&) {
    // Take back the part of the line that may have got there; the next write starts at the same place in any case.
    [[maybe_unused]] const int ignored = ::ftruncate(s.file.get(), static_cast<off_t>(s.position));
    throw;
  }
  s.position += whole.size();
  ++s.lines;
}

void LineLog::sync() {
  posix::sync(state_->file, state_->path);
}

std::uint64_t LineLog::lines() const noexcept {
  return state_->lines;
}

}  // namespace dnas::engine
