#include "dnas/engine/run_folder.hpp"

#include "dnas/kernels/error.hpp"
#include "io/posix.hpp"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace dnas::engine {
namespace {

constexpr std::size_t max_owner_bytes = 512;

/// Who holds the lock, for the message that another process prints.
std::string owner_text() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return fmt::format("host {}, process {}, since {:%Y-%m-%d %H:%M:%S} UTC", host.data(), ::getpid(), fmt::gmtime(now));
}

/// What the holder wrote, cut to one printable line: the file may hold anything.
std::string read_owner(const posix::FileDescriptor& file, const std::filesystem::path& path) {
  std::string text(max_owner_bytes, '\0');
  text.resize(posix::read_some(file, std::as_writable_bytes(std::span(text)), path));
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] < ' ' || text[i] > '~') text.resize(i);
  }
  return text.empty() ? "unknown" : text;
}

}  // namespace

struct RunFolder::State {
  std::filesystem::path path;
  posix::FileDescriptor lock;  ///< its flock ends when it is closed, by whatever end of the process
};

RunFolder::RunFolder(std::filesystem::path path) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = std::move(path);
  std::error_code error;
  std::filesystem::create_directories(s.path, error);
  if (error) posix::throw_io("create the run folder", s.path, error.value());

  const std::filesystem::path lock_path = s.path / ".lock";
  s.lock = posix::open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW, "create");
  int result = ::flock(s.lock.get(), LOCK_EX | LOCK_NB);
  while (result != 0 && errno == EINTR)
    result = ::flock(s.lock.get(), LOCK_EX | LOCK_NB);
  if (result != 0) {
    if (errno != EWOULDBLOCK) posix::throw_io("lock", lock_path, errno);
    throw ConfigError(
        fmt::format("the run folder {} is in use by another run ({}); choose another folder, or wait for that "
                    "run or stop it",
                    s.path.string(), read_owner(s.lock, lock_path)));
  }
  const std::string owner = owner_text() + '\n';
  posix::truncate(s.lock, 0, lock_path);
  posix::write_at(s.lock, 0, std::as_bytes(std::span(owner)), lock_path);
}

RunFolder::RunFolder(RunFolder&&) noexcept = default;
RunFolder& RunFolder::operator=(RunFolder&&) noexcept = default;
RunFolder::~RunFolder() = default;

const std::filesystem::path& RunFolder::path() const noexcept {
  return state_->path;
}

}  // namespace dnas::engine
