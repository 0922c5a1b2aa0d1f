#include "apps/dnas_command.hpp"

#include "dnas/search/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dnas::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Usage, HelpIsAResult) {
  const auto result = dnas({"--help"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("dnas search"));
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(Usage, VersionIsOneLine) {
  const auto result = dnas({"--version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, ::testing::MatchesRegex("dnas [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Usage, EveryVerbHasHelpWithExamples) {
  for (const std::string verb : {"search", "inspect", "list", "probe", "bench"}) {
    const auto result = dnas({verb, "--help"});
    EXPECT_EQ(result.code, 0) << verb;
    EXPECT_THAT(result.out, HasSubstr("Examples:\n  dnas " + verb)) << verb;
    EXPECT_EQ(dnas({"help", verb}).out, result.out);
  }
}

TEST(Usage, SearchHelpNamesEverySetting) {
  const std::string help = dnas({"search", "--help"}).out;
  for (const search::ConfigField& field : search::config_fields()) {
    EXPECT_THAT(help, HasSubstr("--" + field.name));
    EXPECT_THAT(help, HasSubstr(field.help));
  }
}

TEST(Usage, NoVerbIsRefused) {
  const auto result = dnas({});
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.err, HasSubstr("a verb is missing"));
  EXPECT_THAT(result.out, IsEmpty());
}

TEST(Usage, UnknownVerbSuggestsTheNearest) {
  const auto result = dnas({"serach"});
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.err, HasSubstr("unknown verb 'serach'; did you mean search?"));
}

TEST(Usage, UnknownFlagsAreAllReportedWithTheNearest) {
  const auto result = dnas({"search", "--lerning_rate", "0.1", "--seeed=3", "--out", "x", "stray"});
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.err, HasSubstr("dnas search: unknown flag --lerning_rate; did you mean --learning_rate?\n"));
  EXPECT_THAT(result.err, HasSubstr("dnas search: unknown flag --seeed; did you mean --seed?\n"));
  EXPECT_THAT(result.err, HasSubstr("dnas search: unexpected argument 'stray'\n"));
  EXPECT_THAT(result.err, Not(HasSubstr("0.1"))) << "the value of an unknown flag is no problem of its own";
}

TEST(Usage, FlagWithoutItsValueIsRefused) {
  const auto result = dnas({"search", "--epochs"});
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.err, HasSubstr("--epochs"));
}

TEST(Usage, DashesAndUnderscoresAreAlike) {
  const auto dashes = dnas({"inspect", "--init-channels=4", "--layers", "3", "--batch-size", "2", "--json"});
  const auto underscores = dnas({"inspect", "--init_channels", "4", "--layers", "3", "--batch_size", "2", "--json"});
  EXPECT_EQ(dashes.code, 0) << dashes.err;
  EXPECT_EQ(dashes.out, underscores.out);
}

TEST(Usage, ProbeNamesEveryMissingFile) {
  const auto result = dnas({"probe"});
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.err, HasSubstr("--weights FILE is missing"));
  EXPECT_THAT(result.err, HasSubstr("--batch FILE is missing"));
  EXPECT_THAT(result.err, HasSubstr("--out FILE is missing"));
}

TEST(Usage, ResumeNeedsAFolder) {
  const auto result = dnas({"search", "--resume"});
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.err, HasSubstr("--resume needs --out DIR"));
}

TEST(Usage, ColourIsUsedOnlyWhenAskedFor) {
  EXPECT_THAT(dnas({"search", "--resume"}).err, Not(HasSubstr("\x1b[")));
  EXPECT_THAT(dnas({"search", "--resume", "--color", "always"}).err, HasSubstr("\x1b[31m"));
  EXPECT_EQ(dnas({"list", "--color", "purple"}).code, 64);
}

TEST(Usage, FullStdoutIsAnIoError) {
  DnasCommand command({"list"}, {.file_limit = {}, .stdout_path = "/dev/full"});
  const auto result = command.wait();
  EXPECT_EQ(result.code, 74);
  EXPECT_THAT(result.err, HasSubstr("No space left on device"));
}

}  // namespace
}  // namespace dnas::test
