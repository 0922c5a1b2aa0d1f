#include "apps/dnas_command.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sstream>

namespace dnas::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class Config : public ::testing::Test {
 protected:
  std::filesystem::path write(std::string_view yaml) {
    const std::filesystem::path file = folder_ / "config.yaml";
    spill(file, yaml);
    return file;
  }
  DnasCommand::Result run(std::string_view yaml, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"search", "--config", write(yaml).string(), "--dry_run", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return dnas(arguments);
  }
  /// Expects the file to be refused with a message that starts at this line of it.
  void expect_refused(std::string_view yaml, int line, const std::string& message) {
    const auto result = run(yaml);
    EXPECT_EQ(result.code, 78) << result.err;
    EXPECT_THAT(result.err, HasSubstr("config.yaml:" + std::to_string(line) + ": "));
    EXPECT_THAT(result.err, HasSubstr(message));
  }

  TempFolder folder_;
};

constexpr const char* small = "dataset: digits\ninit_channels: 4\nlayers: 3\nbatch_size: 8\n";

TEST_F(Config, FlagsWinOverSetOverFileOverMethod) {
  const auto result = run(std::string(small) + "epochs: 7\nseed: 5\nlearning_rate: 0.5\n",
                          {"--set", "seed=6", "--set", "learning-rate=0.25", "--learning_rate", "0.125"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json config = Json::parse(result.out).at("config");
  EXPECT_EQ(config.at("momentum"), 0.9) << "default of the method";
  EXPECT_EQ(config.at("epochs"), 7) << "from the file";
  EXPECT_EQ(config.at("seed"), 6) << "--set wins over the file";
  EXPECT_EQ(config.at("learning_rate"), 0.125) << "the flag wins over --set";
}

TEST_F(Config, SwitchesTurnOnAndOff) {
  const auto result = run(std::string(small) + "validate: true\n", {"--no-validate", "--cutout"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json config = Json::parse(result.out).at("config");
  EXPECT_EQ(config.at("validate"), false);
  EXPECT_EQ(config.at("cutout"), true);
}

TEST_F(Config, UnrolledMeansTheSecondOrderStep) {
  const auto result = run(small, {"--unrolled"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Json::parse(result.out).at("config").at("bilevel"), "unrolled");
}

TEST_F(Config, ListMayBeASequence) {
  const auto result = run(std::string(small) + "controllers:\n  - cosine\n");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Json::parse(result.out).at("config").at("controllers"), "cosine");
}

TEST_F(Config, UnknownKeyHasLineAndSuggestion) {
  expect_refused("epochs: 3\n\nlerning_rate: 0.1\n", 3, "did you mean 'learning_rate'?");
}

TEST_F(Config, WrongTypeHasLine) {
  expect_refused("seed: 3\nepochs: many\n", 2, "'many' is not a whole number");
}

TEST_F(Config, ProblemsAreAllReportedAtOnce) {
  const auto result = run("epochs: many\nlerning_rate: 0.1\nmomentum: 1.5\n", {"--set", "nonsense", "--layers", "x"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.err, HasSubstr("config.yaml:1: "));
  EXPECT_THAT(result.err, HasSubstr("config.yaml:2: "));
  EXPECT_THAT(result.err, HasSubstr("momentum is 1.5"));
  EXPECT_THAT(result.err, HasSubstr("--set 'nonsense'"));
  EXPECT_THAT(result.err, HasSubstr("layers: 'x' is not a whole number"));
}

TEST_F(Config, UnknownMethodNamesTheChoices) {
  const auto result = run("method: darts-v0\n");
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.err, HasSubstr("darts-v1"));
}

TEST_F(Config, TabIndentationIsExplained) {
  expect_refused("epochs: 3\n\tlayers: 8\n", 2, "a tab in the indentation");
}

TEST_F(Config, SyntaxErrorHasLine) {
  expect_refused("epochs: 3\nlayers: [1, 2\nseed: 1\n", 3, "column");
}

TEST_F(Config, KeyTwiceIsRefused) {
  expect_refused("epochs: 3\nlayers: 8\nepochs: 4\n", 3, "'epochs' is set twice");
}

TEST_F(Config, MissingValueIsRefused) {
  expect_refused("epochs:\nlayers: 8\n", 1, "'epochs' has no value");
}

TEST_F(Config, AnchorsAliasesAndTagsAreRefused) {
  expect_refused("epochs: &e 3\n", 1, "an anchor");
  expect_refused("seed: &e 3\nepochs: *e\n", 2, "an alias");
  expect_refused("data: !!python/object/apply:os.system [ls]\n", 1, "the tag");
}

TEST_F(Config, AliasBombIsRefusedWithoutExpandingIt) {
  std::ostringstream bomb;
  bomb << "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 20; ++i) {
    bomb << 'a' << i << ": &a" << i << " [";
    for (int k = 0; k < 9; ++k)
      bomb << "*a" << i - 1 << ", ";
    bomb << "x]\n";
  }
  expect_refused(bomb.str(), 1, "an anchor");
}

TEST_F(Config, NestingIsRefused) {
  expect_refused("epochs:\n  search: 3\n", 2, "not a nested structure");
  expect_refused("data: " + std::string(33, '[') + std::string(33, ']') + "\n", 1, "nested more than 32 levels");
  expect_refused("data: " + std::string(500000, '[') + "\n", 1, "nested more than 32 levels");
}

TEST_F(Config, TooLargeFileIsRefused) {
  std::string text = "epochs: 3\n";
  text += "# " + std::string((1U << 20) - text.size() - 3, 'x') + "\n";
  ASSERT_EQ(text.size(), 1U << 20);
  EXPECT_EQ(run(text, {"--dataset", "digits", "--init_channels", "4", "--layers", "3"}).code, 0) << "1 MiB is allowed";
  text += '\n';
  const auto result = run(text);
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.err, HasSubstr("larger than the 1048576 bytes"));
}

TEST_F(Config, OtherDocumentsAreRefused) {
  expect_refused("- epochs\n", 1, "the file is a sequence");
  expect_refused("just words\n", 1, "the file is a single value");
  expect_refused("epochs: 3\n---\nepochs: 4\n", 2, "a second document");
  expect_refused(std::string("epochs: 3\nseed: \0\n", 18), 2, "control character 0x00");
}

TEST_F(Config, FilesThatComeWithTheCommandAreValid) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DNAS_CONFIGS)) {
    const auto result = dnas({"search", "--config", entry.path().string(), "--dry_run", "--json"});
    // Where a set's files are missing, the settings were read and accepted before that was noticed.
    EXPECT_TRUE(result.code == 0 || result.code == 66) << entry.path() << ": " << result.err;
    ++files;
  }
  EXPECT_GE(files, 3);
}

TEST_F(Config, FileThatIsNotThereIsMissing) {
  const auto result = dnas({"search", "--config", "nowhere.yaml"});
  EXPECT_EQ(result.code, 66);
  EXPECT_THAT(result.err, HasSubstr("nowhere.yaml"));
}

}  // namespace
}  // namespace dnas::test
