#include "dnas/engine/line_log.hpp"

#include "dnas/kernels/error.hpp"
#include "support/child_process.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <utility>

namespace dnas::engine {
namespace {

using test::message_of;
using test::slurp;
using test::spill;
using test::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(LineLog, WritesAndCountsLines) {
  const TempFolder folder;
  LineLog log(folder / "log", 0);
  log.write("one");
  log.write("");
  log.write("three \xC3\xA9\r");
  EXPECT_EQ(slurp(folder / "log"), "one\n\nthree \xC3\xA9\r\n");
  EXPECT_EQ(log.lines(), 3U);
  EXPECT_NO_THROW(log.sync());
}

TEST(LineLog, ReopenedAtACheckpointHasNoGapAndNoDuplicate) {
  const TempFolder folder;
  for (std::uint64_t keep = 0; keep <= 4; ++keep) {
    spill(folder / "log", "10:00 a\n\nc\n10:02 long\ncut in the mid");
    LineLog log(folder / "log", keep);
    EXPECT_EQ(log.lines(), keep);
    const std::string kept[] = {"", "10:00 a\n", "10:00 a\n\n", "10:00 a\n\nc\n", "10:00 a\n\nc\n10:02 long\n"};
    EXPECT_EQ(slurp(folder / "log"), kept[keep]);
    log.write("next");
    EXPECT_EQ(slurp(folder / "log"), kept[keep] + "next\n");
    EXPECT_EQ(log.lines(), keep + 1);
  }
}

TEST(LineLog, CountsLinesOfAFileLongerThanItsReads) {
  const TempFolder folder;
  std::string content;
  for (int i = 0; i < 40'000; ++i)
    content += std::to_string(i) + '\n';
  spill(folder / "log", content);
  LineLog log(folder / "log", 39'999);
  log.write("last");
  EXPECT_EQ(slurp(folder / "log"), content.substr(0, content.size() - 6) + "last\n");
}

TEST(LineLog, RefusesAFileWithFewerLinesAndLeavesItAlone) {
  const TempFolder folder;
  spill(folder / "log", "a\nb\nc");
  EXPECT_THAT(message_of<DataError>([&] { LineLog(folder / "log", 3); }),
              AllOf(HasSubstr((folder / "log").string()), HasSubstr("has 2 lines"), HasSubstr("3")));
  EXPECT_EQ(slurp(folder / "log"), "a\nb\nc");
}

TEST(LineLog, RefusesALineWithANewline) {  // it would count as two on reopening
  const TempFolder folder;
  LineLog log(folder / "log", 0);
  EXPECT_THAT(message_of<Error>([&] { log.write("a\nb"); }), HasSubstr("holds a newline"));
  EXPECT_EQ(log.lines(), 0U);
  EXPECT_EQ(slurp(folder / "log"), "");
}

TEST(LineLog, FailedWriteLeavesWholeLines) {
  const TempFolder folder;
  const int code = test::wait_for(test::start_child([&] {
    LineLog log(folder / "log", 0);
    log.write("first");
    test::limit_file_size(10);
    try {
      log.write("second, which does not fit");
    } catch (const IoError&) {
      if (log.lines() != 1) return 2;
      log.write("3");  // there is room for this one
      return log.lines() == 2 ? 0 : 3;
    }
    return 1;
  }));
  EXPECT_EQ(code, 0);
  EXPECT_EQ(slurp(folder / "log"), "first\n3\n");
}

TEST(LineLog, Moves) {
  const TempFolder folder;
  LineLog log(folder / "log", 0);
  log.write("one");
  LineLog moved = std::move(log);
  moved.write("two");
  LineLog other(folder / "other", 0);
  other = std::move(moved);
  other.write("three");
  EXPECT_EQ(slurp(folder / "log"), "one\ntwo\nthree\n");
  EXPECT_EQ(slurp(folder / "other"), "");
}

TEST(LineLog, RefusesAFolderThatIsAbsent) {
  const TempFolder folder;
  EXPECT_THROW(LineLog(folder / "absent/log", 0), Error);
}

}  // namespace
}  // namespace dnas::engine
