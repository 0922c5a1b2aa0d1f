#include "apps/dnas_command.hpp"

#include "dnas/engine/run_folder.hpp"
#include "dnas/search/genotype.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>

namespace dnas::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Json = nlohmann::json;

std::vector<std::filesystem::path> checkpoints(const std::filesystem::path& run) {
  std::vector<std::filesystem::path> found;
  for (const std::string& name : entries(run)) {
    if (name.rfind("ckpt-", 0) == 0) found.push_back(run / name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Flips one bit in the middle of a file.
void damage(const std::filesystem::path& file) {
  std::string content = slurp(file);
  content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
  spill(file, content);
}

TEST(Search, ResultIsOnStdoutAndInTheFolder) {
  const TempFolder folder;
  const auto result = dnas(tiny_search(folder / "run"));
  ASSERT_EQ(result.code, 0) << result.err;
  const std::string first_line = result.out.substr(0, result.out.find('\n'));
  const search::Genotype genotype = search::parse_genotype(first_line);
  EXPECT_EQ(search::parse_genotype(slurp(folder / "run/genotype.txt")), genotype);
  EXPECT_EQ(search::parse_genotype(slurp(folder / "run/genotype.json")), genotype);
  EXPECT_THAT(result.out, HasSubstr("genotype.json"));
  EXPECT_THAT(result.err, HasSubstr("peak memory"));
  EXPECT_THAT(result.err, HasSubstr("train 000"));
}

TEST(Search, JsonOutcomeCanBeRead) {
  const TempFolder folder;
  const auto result = dnas(tiny_search(folder / "run", {"--json", "-q"}));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, IsEmpty()) << "-q leaves warnings and errors only";
  const Json outcome = Json::parse(result.out);
  EXPECT_EQ(outcome.at("finished"), true);
  EXPECT_EQ(outcome.at("global_step"), 2);
  EXPECT_EQ(search::parse_genotype(outcome.at("genotype").dump()),
            search::parse_genotype(outcome.at("genotype_text").get<std::string>()));
}

TEST(Search, DryRunCreatesNothing) {
  const TempFolder folder;
  DnasCommand command(tiny_search(folder / "run", {"--dry-run"}));
  const std::filesystem::path work = command.work();
  const auto result = command.wait();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("peak memory"));
  EXPECT_THAT(result.out, HasSubstr("\ninit_channels: 4\n"));
  EXPECT_THAT(entries(folder.path()), IsEmpty());
  EXPECT_THAT(entries(work), IsEmpty());
}

TEST(Search, BadSettingsCreateNothing) {
  const TempFolder folder;
  EXPECT_EQ(dnas(tiny_search(folder / "run", {"--momentum", "2"})).code, 78);
  EXPECT_EQ(dnas(tiny_search(folder / "run", {"--dataset", "cifar10", "--data", "nowhere"})).code, 66);
  EXPECT_THAT(entries(folder.path()), IsEmpty());
}

TEST(Search, SaveNamesTheRunFolderAsTheOfficialScriptDoes) {
  DnasCommand command({"search", "--dataset", "digits", "--init_channels", "4", "--layers", "3", "--epochs", "1",
                       "--max_steps", "1", "--batch_size", "16", "--no_validate", "--save", "EXP"});
  const std::filesystem::path work = command.work();
  const auto result = command.wait();
  ASSERT_EQ(result.code, 0) << result.err;
  const std::vector<std::string> runs = entries(work / "runs");
  ASSERT_THAT(runs, SizeIs(1));
  EXPECT_THAT(runs.front(), ::testing::MatchesRegex("search-EXP-[0-9]+-[0-9]+"));
}

TEST(Search, FlagsOfTheOfficialScriptThatAreNotUsedAreSaidSo) {
  const TempFolder folder;
  const auto result = dnas(tiny_search(
      folder / "run", {"--dry-run", "--gpu", "0", "--model_path", "saved_models", "--drop_path_prob", "0.3"}));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("dnas search: warning: --gpu is not used"));
  EXPECT_THAT(result.err, HasSubstr("dnas search: warning: --model_path is not used"));
  EXPECT_THAT(result.err, HasSubstr("dnas search: warning: --drop_path_prob is not used"));
}

TEST(Search, MissingDataNamesTheFolder) {
  const TempFolder folder;
  const auto result = dnas({"search", "--data", (folder / "nowhere").string(), "--out", (folder / "run").string()});
  EXPECT_EQ(result.code, 66);
  EXPECT_THAT(result.err, HasSubstr((folder / "nowhere").string()));
}

TEST(Search, TruncatedDataNamesTheFile) {
  const TempFolder folder;
  spill(folder / "data_batch_1.bin", std::string(1000, '\0'));
  const auto result = dnas({"search", "--data", folder.path().string(), "--out", (folder / "run").string()});
  EXPECT_EQ(result.code, 65);
  EXPECT_THAT(result.err, HasSubstr("data_batch_1.bin"));
}

TEST(Search, RunInUseIsRefused) {
  const TempFolder folder;
  const engine::RunFolder held(folder / "run");
  const auto result = dnas(tiny_search(folder / "run"));
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.err, HasSubstr("in use"));
}

TEST(Search, SecondRunInAFolderNeedsResume) {
  const TempFolder folder;
  ASSERT_EQ(dnas(tiny_search(folder / "run")).code, 0);
  const auto again = dnas(tiny_search(folder / "run"));
  EXPECT_EQ(again.code, 78);
  EXPECT_THAT(again.err, HasSubstr("--resume"));
}

TEST(Search, ResumeTakesTheStoredSettingsAndRefusesOthers) {
  const TempFolder folder;
  ASSERT_EQ(dnas(tiny_search(folder / "run")).code, 0);
  const auto same = dnas({"search", "--out", (folder / "run").string(), "--resume"});
  EXPECT_EQ(same.code, 0) << same.err;
  const auto other = dnas({"search", "--out", (folder / "run").string(), "--resume", "--batch_size", "8"});
  EXPECT_EQ(other.code, 78);
  EXPECT_THAT(other.err, HasSubstr("batch_size was 16, now 8"));
}

TEST(Search, OneDamagedCheckpointIsPassedOverWithAWarning) {
  const TempFolder folder;
  ASSERT_EQ(dnas(tiny_search(folder / "run", {"--checkpoint_steps", "1"})).code, 0);
  const auto found = checkpoints(folder / "run");
  ASSERT_THAT(found, SizeIs(2));
  damage(found.back() / "model.safetensors");
  const auto result = dnas({"search", "--out", (folder / "run").string(), "--resume"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("warning: "));
  EXPECT_THAT(result.err, HasSubstr("model.safetensors"));
  EXPECT_THAT(result.err, HasSubstr("going on after step 1"));
}

TEST(Search, OnlyDamagedCheckpointsAreBadData) {
  const TempFolder folder;
  ASSERT_EQ(dnas(tiny_search(folder / "run", {"--checkpoint_steps", "1"})).code, 0);
  for (const std::filesystem::path& checkpoint : checkpoints(folder / "run"))
    damage(checkpoint / "arch.safetensors");
  const auto result = dnas({"search", "--out", (folder / "run").string(), "--resume"});
  EXPECT_EQ(result.code, 65);
  EXPECT_THAT(result.err, HasSubstr("arch.safetensors"));
}

TEST(Search, FullDiskIsAnIoErrorAndLeavesNoHalfCheckpoint) {
  const TempFolder folder;
  const DnasCommand::Options little_disk{.file_limit = 4096, .stdout_path = {}};
  const auto result = DnasCommand(tiny_search(folder / "run"), little_disk).wait();
  EXPECT_EQ(result.code, 74);
  EXPECT_THAT(result.err, HasSubstr("dnas search: "));
  EXPECT_THAT(checkpoints(folder / "run"), IsEmpty());
  EXPECT_EQ(dnas(tiny_search(folder / "run", {"--resume"})).code, 0) << "with room again it goes on";
}

TEST(Search, SecondInterruptLeavesAtOnce) {
  const TempFolder folder;
  // Steps of a second or more, so that both signals arrive within one.
  DnasCommand command({"search", "--dataset", "digits", "--init_channels", "32", "--layers", "8", "--batch_size", "512",
                       "--epochs", "1", "--out", (folder / "run").string()});
  ASSERT_TRUE(command.wait_until([&] { return command.messages().find("genotype = ") != std::string::npos; }))
      << command.wait().err;
  command.send(SIGINT);
  // Signals of one kind merge while they wait: the second one only after the first was taken.
  const std::filesystem::path status = std::filesystem::path("/proc") / std::to_string(command.id()) / "status";
  const auto taken = [&] { return slurp(status).find("ShdPnd:\t0000000000000000") != std::string::npos; };
  ASSERT_TRUE(command.wait_until(taken));
  command.send(SIGINT);
  EXPECT_EQ(command.wait().code, 130);
  EXPECT_THAT(checkpoints(folder / "run"), IsEmpty());
}

}  // namespace
}  // namespace dnas::test
