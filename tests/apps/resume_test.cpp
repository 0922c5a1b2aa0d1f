#include "apps/dnas_command.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <sstream>

namespace dnas::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

/// Name of a run's last checkpoint; "" if there is none.
std::string last_checkpoint(const std::filesystem::path& run) {
  std::string last;
  if (!std::filesystem::exists(run)) return last;
  for (const std::string& name : entries(run)) {
    const bool whole = name.rfind("ckpt-", 0) == 0 && name.find_first_not_of("0123456789", 5) == std::string::npos;
    if (whole) last = std::max(last, name);
  }
  return last;
}

/// The files of a run's last checkpoint, by "checkpoint/name".
std::map<std::string, std::string> last_files(const std::filesystem::path& run) {
  const std::string last = last_checkpoint(run);
  std::map<std::string, std::string> files;
  for (const std::string& name : entries(run / last))
    files[last + "/" + name] = slurp(run / last / name);
  return files;
}

/// The metrics without what a clock measured.
std::vector<Json> metrics(const std::filesystem::path& run) {
  std::vector<Json> lines;
  std::istringstream text(slurp(run / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    Json record = Json::parse(line);
    for (const char* measured : {"time", "seconds", "steps_per_second"})
      record.erase(measured);
    lines.push_back(std::move(record));
  }
  return lines;
}

/// An uninterrupted run, and how to start and resume runs like it.
class Resume : public ::testing::Test {
 protected:
  static std::vector<std::string> arguments(const std::filesystem::path& out, std::vector<std::string> more = {}) {
    std::vector<std::string> all =
        tiny_search(out, {"--epochs", "2", "--max_steps", "12", "--checkpoint_steps", "2", "--report_freq", "1"});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  void SetUp() override {
    const auto start = Clock::now();
    const auto result = dnas(arguments(folder_ / "whole"));
    duration_ = Clock::now() - start;
    ASSERT_EQ(result.code, 0) << result.err;
    ASSERT_NE(last_checkpoint(folder_ / "whole"), "");
  }

  void expect_same_end(const std::filesystem::path& run) {
    EXPECT_EQ(last_files(run), last_files(folder_ / "whole"));
    EXPECT_EQ(metrics(run), metrics(folder_ / "whole")) << "no gap, no duplicate";
    EXPECT_EQ(slurp(run / "genotype.json"), slurp(folder_ / "whole" / "genotype.json"));
  }

  TempFolder folder_;
  Clock::duration duration_{};
};

TEST_F(Resume, KilledAnywhereEndsWithTheSameBytes) {
  int killed = 0;
  for (const double part : {0.1, 0.3, 0.5, 0.7, 0.9}) {
    SCOPED_TRACE(part);
    const std::filesystem::path run = folder_ / ("killed-" + std::to_string(part));
    DnasCommand command(arguments(run));
    std::this_thread::sleep_for(std::chrono::duration<double>(duration_) * part);
    command.send(SIGKILL);
    if (command.wait().code == -SIGKILL) ++killed;
    const auto resumed = dnas(arguments(run, {"--resume"}));
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    expect_same_end(run);
  }
  EXPECT_GE(killed, 2) << "most runs were over before they could be killed";
}

TEST_F(Resume, KilledAgainAndAgainEndsWithTheSameBytes) {
  const std::filesystem::path run = folder_ / "run";
  int kills = 0;
  for (int attempt = 0; attempt < 100; ++attempt) {
    // Each attempt is killed right after its first new checkpoint; the last one finds nothing left to write.
    const std::string before = last_checkpoint(run);
    DnasCommand command(arguments(run, {"--resume"}));
    const bool advanced = command.wait_until([&] { return last_checkpoint(run) != before; });
    if (advanced) {
      command.send(SIGKILL);
      ++kills;
    }
    const auto result = command.wait();
    if (result.code == 0) break;
    ASSERT_EQ(result.code, -SIGKILL) << result.err;
  }
  EXPECT_GE(kills, 5);
  const auto finished = dnas(arguments(run, {"--resume"}));
  ASSERT_EQ(finished.code, 0) << finished.err;
  expect_same_end(run);
}

TEST_F(Resume, StoppedOnASignalEndsWithTheSameBytes) {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR2}) {
    SCOPED_TRACE(signal);
    const std::filesystem::path run = folder_ / ("stopped-" + std::to_string(signal));
    DnasCommand command(arguments(run));
    ASSERT_TRUE(command.wait_until([&] { return !last_checkpoint(run).empty(); }));
    command.send(signal);
    const auto stopped = command.wait();
    ASSERT_EQ(stopped.code, 75) << stopped.err;
    EXPECT_THAT(stopped.err, HasSubstr("go on with: dnas search --out " + run.string() + " --resume"));
    const auto resumed = dnas({"search", "--out", run.string(), "--resume"});
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    expect_same_end(run);
  }
}

TEST_F(Resume, NumberOfThreadsMayChange) {
  const std::filesystem::path run = folder_ / "run";
  DnasCommand command(arguments(run));
  // Late, because two threads on a busy machine wait for each other at every step that is left.
  ASSERT_TRUE(command.wait_until([&] { return last_checkpoint(run) >= "ckpt-000000016"; }));
  command.send(SIGTERM);
  ASSERT_EQ(command.wait().code, 75);
  const auto resumed = dnas({"search", "--out", run.string(), "--resume", "--threads", "2"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  expect_same_end(run);
}

}  // namespace
}  // namespace dnas::test
