#include "dnas/engine/checkpoint.hpp"

#include "dnas/kernels/error.hpp"
#include "support/child_process.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <csignal>

namespace dnas::engine {
namespace {

using test::entries;
using test::message_of;
using test::slurp;
using test::spill;
using test::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
namespace fs = std::filesystem;

/// Tensors whose values tell the step they were written at.
class Content {
 public:
  explicit Content(std::int64_t step, std::size_t size = 5)
      : weights_(size, static_cast<float>(step)), counter_{step} {}
  [[nodiscard]] std::vector<CheckpointPart> parts() const {
    const auto weights = std::as_bytes(std::span(weights_));
    return {{"model", {{"w", DType::f32, {static_cast<std::int64_t>(weights_.size())}, weights}}},
            {"optim", {{"count", DType::i64, {}, std::as_bytes(std::span(counter_))}}}};
  }

 private:
  std::vector<float> weights_;
  std::vector<std::int64_t> counter_;
};

void write(CheckpointStore& store, std::int64_t step) {
  store.write(step, Content(step).parts(), R"({"epoch":)" + std::to_string(step) + "}");
}

float stored_weight(const CheckpointStore::Loaded& loaded) {
  const SafetensorsReader reader = loaded.part("model");
  const TensorInfo& info = *reader.find("w");
  std::vector<float> values(info.bytes / sizeof(float));
  reader.read_f32(info, values);
  return values.back();
}

TEST(CheckpointStore, HasNothingAtFirst) {
  const TempFolder folder;
  std::vector<std::string> damaged;
  EXPECT_EQ(CheckpointStore(folder / "absent", 2).newest(damaged), std::nullopt);
  EXPECT_EQ(CheckpointStore(folder.path(), 2).newest(damaged), std::nullopt);
  EXPECT_THAT(damaged, IsEmpty());
}

TEST(CheckpointStore, GivesBackTheNewest) {
  const TempFolder folder;
  CheckpointStore store(folder / "run", 3);
  write(store, 9);
  write(store, 10);
  std::vector<std::string> damaged;
  const auto loaded = store.newest(damaged);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->step, 10);
  EXPECT_EQ(loaded->state, R"({"epoch":10})");
  EXPECT_EQ(loaded->folder, folder / "run/ckpt-000000010");
  EXPECT_EQ(stored_weight(*loaded), 10.0F);
  EXPECT_THAT(damaged, IsEmpty());
  EXPECT_THAT(entries(loaded->folder), UnorderedElementsAre("manifest.json", "model.safetensors", "optim.safetensors"));
}

TEST(CheckpointStore, KeepsTheStateAsItWas) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 1);
  const std::string state = R"({"z":1,"a":{"x":[0.1,1e-300,-5],"t":"é \"q\" \n"},"big":18446744073709551615,"n":null})";
  store.write(1, {}, state);
  std::vector<std::string> damaged;
  EXPECT_EQ(store.newest(damaged)->state, state);
}

TEST(CheckpointStore, SameContentGivesTheSameBytes) {
  const TempFolder folder;
  CheckpointStore first(folder / "a", 1);
  CheckpointStore second(folder / "b", 1);
  write(first, 4);
  write(second, 4);
  for (const std::string& name : entries(folder / "a/ckpt-000000004")) {
    EXPECT_EQ(slurp(folder / "a/ckpt-000000004" / name), slurp(folder / "b/ckpt-000000004" / name)) << name;
  }
}

TEST(CheckpointStore, RemovesTheOldestAndLeftovers) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 2);
  fs::create_directories(folder / "ckpt-000000003.tmp/sub");
  spill(folder / "ckpt-000000003.tmp/model.safetensors", "half");
  spill(folder / "metrics.jsonl", "kept");
  fs::create_directory(folder / "ckpt-best");
  for (const std::int64_t step : {1, 2, 3})
    write(store, step);
  EXPECT_THAT(entries(folder.path()),
              UnorderedElementsAre("ckpt-000000002", "ckpt-000000003", "metrics.jsonl", "ckpt-best"));
}

TEST(CheckpointStore, DoesNotRemoveWhatItJustWroteAfterGoingBack) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 1);
  write(store, 50);
  write(store, 7);
  EXPECT_THAT(entries(folder.path()), UnorderedElementsAre("ckpt-000000007", "ckpt-000000050"));
}

TEST(CheckpointStore, ReplacesACheckpointOfTheSameStep) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 2);
  write(store, 5);
  store.write(5, Content(77).parts(), "{}");
  EXPECT_THAT(entries(folder.path()), ElementsAre("ckpt-000000005"));
  std::vector<std::string> damaged;
  EXPECT_EQ(stored_weight(*store.newest(damaged)), 77.0F);
}

TEST(CheckpointStore, FallsBackToTheLastWholeOneAndSaysWhy) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 5);
  for (const std::int64_t step : {1, 2, 3, 4, 5})
    write(store, step);
  fs::remove(folder / "ckpt-000000005/manifest.json");
  fs::remove(folder / "ckpt-000000004/optim.safetensors");
  fs::resize_file(folder / "ckpt-000000003/model.safetensors", 10);
  std::vector<std::string> damaged;
  const auto loaded = store.newest(damaged);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->step, 2);
  EXPECT_THAT(damaged,
              ElementsAre(AllOf(HasSubstr("ckpt-000000005"), HasSubstr("no manifest.json")),
                          AllOf(HasSubstr("ckpt-000000004"), HasSubstr("optim.safetensors is missing")),
                          AllOf(HasSubstr("ckpt-000000003/model.safetensors"), HasSubstr("has 10 bytes, expected"))));
}

TEST(CheckpointStore, OnlyDamagedOnesAreAnErrorNotAFreshStart) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 5);
  write(store, 1);
  fs::remove(folder / "ckpt-000000001/manifest.json");
  std::vector<std::string> damaged;
  EXPECT_THAT(message_of<DataError>([&] { (void)store.newest(damaged); }),
              AllOf(HasSubstr("none of the 1 checkpoints is whole"), HasSubstr("no manifest.json")));
}

TEST(CheckpointStore, ARenamedFolderIsNoticed) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 5);
  write(store, 1);
  write(store, 2);
  fs::rename(folder / "ckpt-000000002", folder / "ckpt-000000009");
  std::vector<std::string> damaged;
  EXPECT_EQ(store.newest(damaged)->step, 1);
  EXPECT_THAT(damaged, ElementsAre(HasSubstr("its manifest is of step 2")));
}

TEST(CheckpointStore, FindsEveryTruncationAndEveryFlippedBit) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 1);
  write(store, 3);
  const fs::path checkpoint = folder / "ckpt-000000003";
  for (const std::string& name : entries(checkpoint)) {
    const std::string whole = slurp(checkpoint / name);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      spill(checkpoint / name, whole.substr(0, size));
      EXPECT_THROW((void)CheckpointStore::open(checkpoint), DataError) << name << " cut to " << size;
    }
    for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      spill(checkpoint / name, flipped);
      EXPECT_THROW((void)CheckpointStore::open(checkpoint), DataError) << name << " bit " << bit;
    }
    spill(checkpoint / name, whole + "x");
    EXPECT_THROW((void)CheckpointStore::open(checkpoint), DataError) << name << " longer";
    spill(checkpoint / name, whole);
  }
  EXPECT_EQ(CheckpointStore::open(checkpoint).step, 3);
}

TEST(CheckpointStore, OpensANamedFolderUnderAnyName) {
  const TempFolder folder;
  CheckpointStore store(folder / "run", 1);
  write(store, 3);
  fs::rename(folder / "run/ckpt-000000003", folder / "best");
  const auto loaded = CheckpointStore::open(folder / "best");
  EXPECT_EQ(loaded.step, 3);
  EXPECT_EQ(stored_weight(loaded), 3.0F);
  EXPECT_THAT(message_of<DataError>([&] { (void)loaded.part("arch"); }),
              AllOf(HasSubstr("no part 'arch'"), HasSubstr("model.safetensors")));
  EXPECT_THROW((void)loaded.part("../best/model"), DataError);
  EXPECT_THROW((void)CheckpointStore::open(folder / "absent"), MissingError);
}

TEST(CheckpointStore, RefusesBadArguments) {
  const TempFolder folder;
  EXPECT_THAT(message_of<ConfigError>([&] { CheckpointStore(folder.path(), 0); }), HasSubstr("at least 1, got 0"));
  CheckpointStore store(folder / "run", 1);
  EXPECT_THAT(message_of<ConfigError>([&] { store.write(-1, {}, "{}"); }), HasSubstr("step -1"));
  EXPECT_THROW(store.write(1'000'000'000, {}, "{}"), ConfigError);
  EXPECT_THAT(message_of<ConfigError>([&] { store.write(1, {{"../x", {}}}, "{}"); }), HasSubstr("'../x'"));
  EXPECT_THAT(message_of<ConfigError>([&] {
                store.write(1, {{"a", {}}, {"a", {}}}, "{}");
              }),
              HasSubstr("'a' appears twice"));
  for (const char* state : {"", "[1]", "3", "{", "{} x", R"({"a":1,"a":2})"}) {
    EXPECT_THAT(message_of<ConfigError>([&] { store.write(1, {}, state); }), HasSubstr("state")) << state;
  }
  EXPECT_THROW(store.write(1, {}, "{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"), ConfigError);
  EXPECT_THAT(entries(folder / "run"), IsEmpty());
}

TEST(CheckpointStore, FullDiskAtAnyByteLeavesTheOldOneUntouched) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 1);
  write(store, 1);
  const std::string manifest = slurp(folder / "ckpt-000000001/manifest.json");
  const std::size_t largest =
      std::max<std::size_t>(manifest.size(), fs::file_size(folder / "ckpt-000000001/model.safetensors"));
  for (std::size_t limit = 0; limit < largest; limit += 13) {
    const int code = test::wait_for(test::start_child([&] {
      test::limit_file_size(limit);
      try {
        write(store, 2);
      } catch (const IoError& error) {
        const std::string_view message = error.what();
        return message.find("ckpt-000000002.tmp") != message.npos && message.find("File too large") != message.npos ? 0
                                                                                                                    : 2;
      }
      return 1;
    }));
    EXPECT_EQ(code, 0) << "limit " << limit;
    EXPECT_THAT(entries(folder.path()), ElementsAre("ckpt-000000001"));
    EXPECT_EQ(slurp(folder / "ckpt-000000001/manifest.json"), manifest);
  }
}

TEST(CheckpointStore, AWriterKilledAtAnyInstantLeavesWholeCheckpoints) {
  const TempFolder folder;
  CheckpointStore store(folder.path(), 2);
  write(store, 0);
  std::int64_t last = 0;
  for (int round = 0; round < 25; ++round) {
    const pid_t child = test::start_child([&] {
      for (std::int64_t step = last + 1;; ++step)
        write(store, step);
      return 0;
    });
    ::usleep(static_cast<useconds_t>(200 + 977 * round));
    ::kill(child, SIGKILL);
    ASSERT_EQ(test::wait_for(child), -SIGKILL);
    std::vector<std::string> damaged;
    const auto loaded = store.newest(damaged);
    ASSERT_TRUE(loaded.has_value());
    EXPECT_THAT(damaged, IsEmpty());
    EXPECT_GE(loaded->step, last);
    EXPECT_EQ(stored_weight(*loaded), static_cast<float>(loaded->step));
    last = loaded->step;
  }
  EXPECT_GT(last, 0);
  write(store, last + 1);
  EXPECT_EQ(entries(folder.path()).size(), 2U);
}

}  // namespace
}  // namespace dnas::engine
