#pragma once

#include "dnas/search/search_run.hpp"
#include "messages.hpp"
#include "stop_signals.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace dnas::apps {

/// What a search is about to do, for people: sizes, steps and the memory that is about to be taken.
[[nodiscard]] std::string plan_text(const search::SearchPlan& plan);

/// What the plan needs beside what the machine has, and which settings need less.
[[nodiscard]] std::string memory_text(const search::SearchPlan& plan);

/// Shows a search on stderr: a progress bar with the time left and a line per epoch on a terminal, the lines of the
/// official log elsewhere. Passes requests to stop on.
class SearchProgress final : public search::SearchObserver {
 public:
  SearchProgress(Messages& messages, const StopSignals& signals) : messages_(messages), signals_(signals) {}

  void on_plan(const search::SearchPlan& plan) override;
  void on_resume(std::int64_t global_step, const std::filesystem::path& checkpoint) override;
  void on_step(const search::StepReport& report) override;
  void on_validation(std::int64_t step, std::int64_t steps) override;
  void on_epoch(const search::EpochReport& report) override;
  void on_log(std::string_view line) override;
  void on_warning(std::string_view message) override;
  bool stop_requested() override;

  /// The plan that was announced; all zero before.
  [[nodiscard]] const search::SearchPlan& plan() const noexcept { return plan_; }

 private:
  using Clock = std::chrono::steady_clock;

  void draw(std::string_view phase, std::int64_t done, std::int64_t of, std::string_view figures);
  [[nodiscard]] std::string time_left() const;

  Messages& messages_;
  const StopSignals& signals_;
  search::SearchPlan plan_;
  Clock::time_point start_;
  Clock::time_point drawn_;
  std::int64_t first_step_ = 0;  // where this process started
  std::int64_t global_step_ = 0;
  std::int64_t epoch_ = 0;
  bool stop_announced_ = false;
};

}  // namespace dnas::apps
