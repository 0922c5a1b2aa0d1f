#include "dnas/engine/run_folder.hpp"

#include "dnas/kernels/error.hpp"
#include "support/child_process.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <array>
#include <csignal>

namespace dnas::engine {
namespace {

using test::message_of;
using test::TempFolder;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

TEST(RunFolder, CreatesTheFolderWithItsParents) {
  const TempFolder folder;
  const RunFolder run(folder / "a/b/c");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
  EXPECT_EQ(run.path(), folder / "a/b/c");
}

TEST(RunFolder, SecondHolderIsToldWhoHoldsIt) {
  const TempFolder folder;
  const RunFolder run(folder / "run");
  std::array<char, 256> host{};
  ASSERT_EQ(::gethostname(host.data(), host.size() - 1), 0);
  EXPECT_THAT(message_of<ConfigError>([&] { RunFolder(folder / "run"); }),
              AllOf(HasSubstr((folder / "run").string()), HasSubstr(host.data()),
                    HasSubstr("process " + std::to_string(::getpid())),
                    ContainsRegex("since 20[0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9] UTC"),
                    HasSubstr("choose another folder")));
}

TEST(RunFolder, IsFreeAgainAfterItsHolder) {
  const TempFolder folder;
  { const RunFolder run(folder / "run"); }
  RunFolder run(folder / "run");
  const RunFolder moved = std::move(run);
  EXPECT_THROW(RunFolder(folder / "run"), ConfigError);  // moving kept the lock
}

TEST(RunFolder, AnotherProcessHoldsItUntilItDies) {
  const TempFolder folder;
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  const pid_t child = test::start_child([&] {
    const RunFolder run(folder / "run");
    if (::write(ready[1], "x", 1) != 1) return 1;
    for (;;)
      ::pause();
  });
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THAT(message_of<ConfigError>([&] { RunFolder(folder / "run"); }),
              HasSubstr("process " + std::to_string(child)));
  ::kill(child, SIGKILL);
  EXPECT_EQ(test::wait_for(child), -SIGKILL);
  EXPECT_NO_THROW(RunFolder(folder / "run"));  // the lock file is still there, the lock is not
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(RunFolder, AFileInTheWayIsAnIoError) {
  const TempFolder folder;
  test::spill(folder / "taken", "x");
  EXPECT_THAT(message_of<IoError>([&] { RunFolder(folder / "taken"); }), HasSubstr((folder / "taken").string()));
  EXPECT_THROW(RunFolder("/proc/nothing/here"), IoError);
}

TEST(RunFolder, DoesNotFollowALinkInPlaceOfTheLock) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "run");
  test::spill(folder / "precious", "content");
  std::filesystem::create_symlink(folder / "precious", folder / "run/.lock");
  EXPECT_THROW(RunFolder(folder / "run"), IoError);
  EXPECT_EQ(test::slurp(folder / "precious"), "content");
}

}  // namespace
}  // namespace dnas::engine
