#pragma once

#include "dnas/search/search_run.hpp"
#include "support/temp_folder.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::search::testing_runs {

using Json = nlohmann::ordered_json;

/// A search of two epochs of three steps on the built-in digits: a tenth of a second.
inline SearchConfig tiny_search() {
  SearchConfig config;
  config.dataset = "digits";
  config.init_channels = 4;
  config.layers = 3;
  config.epochs = 2;
  config.batch_size = 16;
  config.max_steps = 3;
  config.report_freq = 1;
  config.arch_learning_rate = 0.01;
  config.keep_checkpoints = 1;
  config.threads = 1;
  return config;
}

/// Notes every call, and asks for a stop when it was asked `stop_at` times (0: never).
class Recorder : public SearchObserver {
 public:
  explicit Recorder(int stop_at = 0) : stop_at_(stop_at) {}

  void on_plan(const SearchPlan& plan) override {
    calls.emplace_back("plan");
    plans.push_back(plan);
  }
  void on_resume(std::int64_t global_step, const std::filesystem::path& /*checkpoint*/) override {
    calls.emplace_back("resume");
    resumed_at.push_back(global_step);
  }
  void on_step(const StepReport& report) override {
    calls.emplace_back("step");
    steps.push_back(report);
  }
  void on_validation(std::int64_t step, std::int64_t count) override {
    calls.push_back("validation " + std::to_string(step) + "/" + std::to_string(count));
  }
  void on_epoch(const EpochReport& report) override {
    calls.emplace_back("epoch");
    epochs.push_back(report);
  }
  void on_log(std::string_view line) override { log.emplace_back(line); }
  void on_warning(std::string_view message) override { warnings.emplace_back(message); }
  bool stop_requested() override { return ++asked == stop_at_; }

  int asked = 0;
  std::vector<std::string> calls;  ///< all but log lines and warnings
  std::vector<SearchPlan> plans;
  std::vector<std::int64_t> resumed_at;
  std::vector<StepReport> steps;
  std::vector<EpochReport> epochs;
  std::vector<std::string> log;
  std::vector<std::string> warnings;

 private:
  int stop_at_;
};

/// Checkpoint folders of a run, oldest first.
inline std::vector<std::string> checkpoints(const std::filesystem::path& run) {
  std::vector<std::string> names;
  for (const std::string& name : test::entries(run)) {
    if (name.starts_with("ckpt-")) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

/// Everything in the newest checkpoint, by "checkpoint/file".
inline std::map<std::string, std::string> newest_checkpoint(const std::filesystem::path& run) {
  std::map<std::string, std::string> files;
  const std::vector<std::string> names = checkpoints(run);
  if (names.empty()) return files;
  for (const std::string& file : test::entries(run / names.back()))
    files[names.back() + "/" + file] = test::slurp(run / names.back() / file);
  return files;
}

inline std::vector<std::string> lines(const std::filesystem::path& file) {
  std::vector<std::string> result;
  std::istringstream text(test::slurp(file));
  for (std::string line; std::getline(text, line);)
    result.push_back(line);
  return result;
}

/// The metrics without what a clock measured.
inline std::vector<Json> metrics(const std::filesystem::path& run) {
  std::vector<Json> records;
  for (const std::string& line : lines(run / "metrics.jsonl")) {
    Json record = Json::parse(line);
    for (const char* measured : {"time", "seconds", "steps_per_second"})
      record.erase(measured);
    records.push_back(std::move(record));
  }
  return records;
}

/// The log without the time stamps, "11/24 03:25:47 AM ".
inline std::vector<std::string> log_lines(const std::filesystem::path& run) {
  constexpr std::size_t stamp = 18;
  std::vector<std::string> result = lines(run / "log.txt");
  for (std::string& line : result)
    line.erase(0, stamp);
  return result;
}

}  // namespace dnas::search::testing_runs
