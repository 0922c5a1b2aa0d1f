#include "messages.hpp"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

namespace dnas::apps {
namespace {

/// Writes to stderr and keeps the status line below everything that is written.
class StatusSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void set_prefix(const std::string& prefix) {
    const std::lock_guard lock(mutex_);
    prefix_ = prefix;
  }
  void set_color(bool color) {
    const std::lock_guard lock(mutex_);
    color_ = color;
  }
  void show(std::string_view line) {
    const std::lock_guard lock(mutex_);
    std::string out;
    if (!status_.empty()) out += erase_line;
    status_ = line;
    out += status_;
    write(out);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string out;
    if (!status_.empty()) out += erase_line;
    std::string_view text(message.payload.data(), message.payload.size());
    for (;;) {
      const std::size_t end = text.find('\n');
      out += prefix(message.level);
      out += text.substr(0, end);
      out += '\n';
      if (end == std::string_view::npos) break;
      text.remove_prefix(end + 1);
    }
    write(out + status_);
  }
  void flush_() override {}

 private:
  static constexpr std::string_view erase_line = "\r\x1b[K";

  [[nodiscard]] std::string prefix(spdlog::level::level_enum level) const {
    const std::string_view red = color_ ? "\x1b[31m" : "";
    const std::string_view yellow = color_ ? "\x1b[33m" : "";
    const std::string_view reset = color_ ? "\x1b[0m" : "";
    if (level == spdlog::level::err) return fmt::format("{}{}:{} ", red, prefix_, reset);
    if (level == spdlog::level::warn) return fmt::format("{}{}: warning:{} ", yellow, prefix_, reset);
    return {};
  }

  // A reader of our messages that went away is no reason to fail.
  static void write(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

  std::string prefix_ = "dnas";
  std::string status_;
  bool color_ = use_color(ColorMode::automatic, STDERR_FILENO);
};

spdlog::string_view_t view(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

struct Messages::State {
  std::shared_ptr<StatusSink> sink = std::make_shared<StatusSink>();
  spdlog::logger logger{"dnas", sink};
  bool quiet = false;
};

Messages::Messages() : state_(std::make_unique<State>()) {}
Messages::~Messages() {
  status("");
}

void Messages::set_verb(const std::string& verb) {
  state_->sink->set_prefix("dnas " + verb);
}

void Messages::configure(ColorMode color, bool quiet) {
  state_->quiet = quiet;
  state_->sink->set_color(use_color(color, STDERR_FILENO));
  state_->logger.set_level(quiet ? spdlog::level::warn : spdlog::level::info);
}

void Messages::info(std::string_view text) {
  state_->logger.log(spdlog::level::info, view(text));
}
void Messages::warn(std::string_view text) {
  state_->logger.log(spdlog::level::warn, view(text));
}
void Messages::error(std::string_view text) {
  state_->logger.log(spdlog::level::err, view(text));
}
void Messages::hint(std::string_view text) {
  state_->logger.log(spdlog::level::err, view(fmt::format("hint: {}", text)));
}

bool Messages::live() const noexcept {
  return !state_->quiet && is_terminal(STDERR_FILENO);
}
void Messages::status(std::string_view line) {
  if (live()) state_->sink->show(line);
}

}  // namespace dnas::apps
