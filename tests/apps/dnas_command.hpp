#pragma once

#include "support/child_process.hpp"
#include "support/temp_folder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace dnas::test {

/// The built command as a child process, in an empty folder of its own; DNAS_COMMAND is the path of the binary.
class DnasCommand {
 public:
  struct Options {
    std::optional<rlim_t> file_limit;  ///< bytes that any file may have
    std::string stdout_path;           ///< instead of a file of this object
  };
  struct Result {
    int code = 0;  ///< exit code, or minus the signal that ended it
    std::string out;
    std::string err;
  };

  explicit DnasCommand(std::vector<std::string> arguments) : DnasCommand(std::move(arguments), Options{}) {}
  DnasCommand(std::vector<std::string> arguments, const Options& options) : arguments_(std::move(arguments)) {
    std::filesystem::create_directory(work());
    const std::string out = options.stdout_path.empty() ? (folder_ / "out").string() : options.stdout_path;
    child_ = start_child([&] {
      redirect(STDOUT_FILENO, out);
      redirect(STDERR_FILENO, (folder_ / "err").string());
      if (::chdir(work().c_str()) != 0) return 97;
      ::setenv("OMP_NUM_THREADS", "1", 1);  // tests run side by side
      if (options.file_limit) limit_file_size(*options.file_limit);
      std::vector<char*> argv = {program_.data()};
      for (std::string& argument : arguments_)
        argv.push_back(argument.data());
      argv.push_back(nullptr);
      ::execv(program_.c_str(), argv.data());
      return 96;
    });
  }
  DnasCommand(const DnasCommand&) = delete;
  DnasCommand& operator=(const DnasCommand&) = delete;
  ~DnasCommand() {
    if (child_ > 0) {
      send(SIGKILL);
      wait_for(child_);
    }
  }

  [[nodiscard]] pid_t id() const noexcept { return child_; }
  void send(int signal) const { ::kill(child_, signal); }

  /// What it has said on stderr so far.
  [[nodiscard]] std::string messages() const {
    return std::filesystem::exists(folder_ / "err") ? slurp(folder_ / "err") : std::string();
  }

  /// Waits until `happened` or the command ends; whether it happened.
  template <typename Condition>
  [[nodiscard]] bool wait_until(Condition happened) const {
    while (!happened()) {
      siginfo_t info{};
      if (::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0)
        return happened();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  [[nodiscard]] Result wait() {
    Result result;
    result.code = wait_for(std::exchange(child_, -1));
    if (std::filesystem::exists(folder_ / "out")) result.out = slurp(folder_ / "out");
    result.err = slurp(folder_ / "err");
    return result;
  }

  /// The folder it runs in.
  [[nodiscard]] std::filesystem::path work() const { return folder_ / "work"; }

 private:
  static void redirect(int descriptor, const std::string& path) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(file, descriptor);
  }

  TempFolder folder_;
  std::string program_ = DNAS_COMMAND;
  std::vector<std::string> arguments_;
  pid_t child_ = -1;
};

/// Runs the command to its end.
inline DnasCommand::Result dnas(std::vector<std::string> arguments) {
  return DnasCommand(std::move(arguments)).wait();
}

/// A search on the embedded digits that takes about a second.
inline std::vector<std::string> tiny_search(const std::filesystem::path& out, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"search", "--dataset", "digits", "--init_channels", "4",         "--layers",
                                        "3",      "--epochs",  "1",      "--max_steps",     "2",         "--batch_size",
                                        "16",     "--threads", "1",      "--out",           out.string()};
  arguments.insert(arguments.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  return arguments;
}

}  // namespace dnas::test
