#include "dnas/engine/metrics.hpp"

#include "dnas/kernels/error.hpp"
#include "support/child_process.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <limits>

namespace dnas::engine {
namespace {

using test::message_of;
using test::slurp;
using test::spill;
using test::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

Metrics step(std::int64_t number) {
  return {{"step", number}, {"loss", 0.5}};
}
std::string step_line(int number) {
  return R"({"schema":1,"kind":"train","step":)" + std::to_string(number) + ",\"loss\":0.5}\n";
}

TEST(MetricsLog, WritesOneObjectPerLineInTheOrderGiven) {
  const TempFolder folder;
  MetricsLog log(folder / "metrics.jsonl", 0);
  log.write("epoch", {{"epoch", std::int64_t{3}},
                      {"accuracy", 0.1},
                      {"done", true},
                      {"name", std::string("a \"b\"\n\xC3\xA9")},
                      {"alpha", std::vector<double>{1.5, -2e-9, 0.0}},
                      {"none", std::vector<double>{}}});
  const std::string expected =
      "{\"schema\":1,\"kind\":\"epoch\",\"epoch\":3,\"accuracy\":0.1,\"done\":true,\"name\":\"a \\\"b\\\"\\n\xC3\xA9\","
      "\"alpha\":[1.5,-2e-09,0.0],\"none\":[]}\n";
  EXPECT_EQ(slurp(folder / "metrics.jsonl"), expected);
  EXPECT_EQ(log.lines(), 1U);
  EXPECT_NO_THROW(log.sync());
}

TEST(MetricsLog, NonFiniteNumbersAreNull) {
  const TempFolder folder;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  MetricsLog log(folder / "m", 0);
  log.write("x", {{"a", std::numeric_limits<double>::quiet_NaN()}, {"b", std::vector<double>{infinity, 1, -infinity}}});
  EXPECT_EQ(slurp(folder / "m"), "{\"schema\":1,\"kind\":\"x\",\"a\":null,\"b\":[null,1.0,null]}\n");
}

TEST(MetricsLog, InvalidUtf8IsReplaced) {
  const TempFolder folder;
  MetricsLog log(folder / "m", 0);
  log.write("x", {{"path", std::string("a\xFFz")}});
  EXPECT_THAT(slurp(folder / "m"), HasSubstr("a\xEF\xBF\xBDz"));
}

TEST(MetricsLog, RefusesAKeyTwice) {
  const TempFolder folder;
  MetricsLog log(folder / "m", 0);
  EXPECT_THAT(message_of<Error>([&] { log.write("x", {{"kind", true}}); }), HasSubstr("'kind'"));
  EXPECT_THROW(log.write("x", {{"a", true}, {"a", false}}), Error);
  EXPECT_EQ(slurp(folder / "m"), "");
}

TEST(MetricsLog, ReopenedAtACheckpointHasNoGapAndNoDuplicate) {
  const TempFolder folder;
  std::uint64_t lines = 0;
  {
    MetricsLog log(folder / "m", 0);
    log.write("train", step(1));
    log.write("train", step(2));
    lines = log.lines();  // the checkpoint; what follows was lost with the process
    log.write("train", step(3));
    log.write("train", step(4));
  }
  spill(folder / "m", slurp(folder / "m") + "{\"schema\":1,\"ki");  // and a line cut in the middle
  MetricsLog log(folder / "m", lines);
  log.write("train", step(3));
  EXPECT_EQ(slurp(folder / "m"), step_line(1) + step_line(2) + step_line(3));
}

TEST(MetricsLog, KeepingNoLinesStartsAnew) {
  const TempFolder folder;
  spill(folder / "m", "something old\n");
  MetricsLog log(folder / "m", 0);
  log.write("train", step(1));
  EXPECT_EQ(slurp(folder / "m"), step_line(1));
}

TEST(MetricsLog, RefusesAFileWithFewerLines) {
  const TempFolder folder;
  spill(folder / "m", step_line(1));
  EXPECT_THAT(message_of<DataError>([&] { MetricsLog(folder / "m", 10'000); }),
              AllOf(HasSubstr((folder / "m").string()), HasSubstr("10000")));
  spill(folder / "unfinished", "{\"schema\"");
  EXPECT_THROW(MetricsLog(folder / "unfinished", 1), DataError);
  EXPECT_THROW(MetricsLog(folder / "new", 5), DataError);  // not there
  EXPECT_EQ(slurp(folder / "m"), step_line(1));            // untouched
  EXPECT_THROW(MetricsLog(folder / "absent/m", 0), IoError);
}

TEST(MetricsLog, FailedWriteLeavesWholeLines) {
  const TempFolder folder;
  const int code = test::wait_for(test::start_child([&] {
    MetricsLog log(folder / "m", 0);
    log.write("train", step(1));
    test::limit_file_size(step_line(1).size() + 10);
    try {
      log.write("train", step(2));
    } catch (const IoError&) {
      return log.lines() == 1 ? 0 : 2;
    }
    return 1;
  }));
  EXPECT_EQ(code, 0);
  EXPECT_EQ(slurp(folder / "m"), step_line(1));
}

}  // namespace
}  // namespace dnas::engine
