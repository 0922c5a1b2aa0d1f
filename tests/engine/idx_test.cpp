#include "dnas/engine/dataset.hpp"
#include "dnas/kernels/error.hpp"
#include "support/allocation_count.hpp"
#include "support/idx_files.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

namespace dnas::engine {
namespace {

using test::gzipped;
using test::idx_file;
using test::message_of;
using test::spill;
using test::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* train_images = "train-images-idx3-ubyte";
constexpr const char* train_labels = "train-labels-idx1-ubyte";
constexpr const char* test_images = "t10k-images-idx3-ubyte";
constexpr const char* test_labels = "t10k-labels-idx1-ubyte";
constexpr std::size_t image_bytes = 28 * 28;
constexpr std::uint32_t image_magic = 0x803;
constexpr std::uint32_t label_magic = 0x801;

std::string pixels(std::size_t images) {
  std::string bytes(images * image_bytes, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(i % 253);
  return bytes;
}

std::string good_images() {
  return idx_file({image_magic, 3, 28, 28}, pixels(3));
}
std::string good_labels() {
  return idx_file({label_magic, 3}, std::string_view("\x07\x00\x09", 3));
}

/// Three training images and one test image.
void write_good(const fs::path& folder) {
  spill(folder / train_images, good_images());
  spill(folder / train_labels, good_labels());
  spill(folder / test_images, idx_file({image_magic, 1, 28, 28}, pixels(1)));
  spill(folder / test_labels, idx_file({label_magic, 1}, "\x05"));
}

Dataset open(const fs::path& root) {
  return datasets().at("mnist").open({root, 0});
}

TEST(Idx, ReadsFilesMadeByHand) {
  const TempFolder folder;
  write_good(folder.path());
  const Dataset mnist = open(folder.path());
  EXPECT_EQ(mnist.classes, 10);
  EXPECT_EQ(mnist.train.image, (Shape{28, 28, 1}));
  EXPECT_EQ(mnist.train.labels, (std::vector<std::int64_t>{7, 0, 9}));
  EXPECT_EQ(mnist.test.labels, (std::vector<std::int64_t>{5}));
  const std::string expected = pixels(3);
  ASSERT_EQ(mnist.train.pixels.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(mnist.train.pixels[i], static_cast<std::uint8_t>(expected[i])) << i;
  }
  EXPECT_EQ(mnist.crop_padding, 2);
  EXPECT_FALSE(mnist.flip);
}

TEST(Idx, ReadsGzipFilesInTorchvisionsFolder) {
  const TempFolder folder;
  const fs::path raw = folder / "MNIST/raw";
  fs::create_directories(raw);
  write_good(raw);
  const Dataset plain = open(folder.path());
  for (const char* name : {train_images, train_labels, test_images, test_labels}) {
    spill(raw / (std::string(name) + ".gz"), gzipped(test::slurp(raw / name)));
    fs::remove(raw / name);
  }
  const Dataset zipped = open(folder.path());
  EXPECT_EQ(zipped.train.pixels, plain.train.pixels);
  EXPECT_EQ(zipped.train.labels, plain.train.labels);
  EXPECT_EQ(zipped.test.pixels, plain.test.pixels);
}

TEST(Idx, MissingFilesAreNamedWithTheirSource) {
  const TempFolder folder;
  EXPECT_THAT(message_of<MissingError>([] { (void)open({}); }), AllOf(HasSubstr("no folder"), HasSubstr("--data")));
  EXPECT_THAT(message_of<MissingError>([&] { (void)open(folder.path()); }),
              AllOf(HasSubstr(train_images), HasSubstr(folder.path().string()), HasSubstr("http")));
  write_good(folder.path());
  fs::remove(folder / test_labels);
  EXPECT_THAT(message_of<MissingError>([&] { (void)open(folder.path()); }), HasSubstr(test_labels));
  EXPECT_THAT(message_of<MissingError>([&] {
                (void)datasets().at("fashion-mnist").open({folder / "absent", 0});
              }),
              HasSubstr("dataset-fashion-mnist"));
}

struct Fault {
  const char* what;
  const char* file;
  std::string content;
  const char* message;
};

class IdxRefusal : public ::testing::TestWithParam<Fault> {};

TEST_P(IdxRefusal, NamesTheFileAndTheFault) {
  const TempFolder folder;
  write_good(folder.path());
  spill(folder / GetParam().file, GetParam().content);
  const auto matches = AllOf(HasSubstr((folder / GetParam().file).string()), HasSubstr(GetParam().message));
  EXPECT_THAT(message_of<DataError>([&] { (void)open(folder.path()); }), matches);

  // The same under gzip, where a length shows only on inflating.
  spill(folder / GetParam().file, gzipped(GetParam().content));
  EXPECT_THAT(message_of<DataError>([&] { (void)open(folder.path()); }),
              HasSubstr((folder / GetParam().file).string()));
}

INSTANTIATE_TEST_SUITE_P(
    Files, IdxRefusal,
    ::testing::Values(
        Fault{"Empty", train_images, "", "holds 0 bytes, its header alone needs 16"},
        Fault{"HeaderCutShort", train_images, good_images().substr(0, 15), "its header alone needs 16"},
        Fault{"OtherFile", train_images, "<html>404 not found</html>", "it is not an IDX file"},
        Fault{"BytesSwapped", train_images, idx_file({0x03080000, 0x03000000, 0x1C000000, 0x1C000000}, pixels(3)),
              "little-endian"},
        Fault{"LabelsInsteadOfImages", train_images, idx_file({label_magic, 10}, "0123456789"), "interchanged"},
        Fault{"ImagesInsteadOfLabels", train_labels, good_images(), "interchanged"},
        Fault{"NoRecords", train_images, idx_file({image_magic, 0, 28, 28}, ""), "claims 0 records"},
        Fault{"TooManyRecords", train_images, idx_file({image_magic, 0xFFFFFFFF, 28, 28}, pixels(1)),
              "claims 4294967295"},
        Fault{"OtherHeight", train_images, idx_file({image_magic, 3, 32, 28}, pixels(4)),
              "height of the images is 32, expected 28"},
        Fault{"OtherWidth", train_images, idx_file({image_magic, 3, 28, 0xFFFFFFFF}, pixels(3)),
              "width of the images is"},
        Fault{"CutShort", train_images, good_images().substr(0, 16 + 3 * image_bytes - 1),
              "2367 bytes, expected 2368 for 3 records; it is cut short"},
        Fault{"TooLong", train_images, good_images() + "x", "too long"},
        Fault{"OneRecordLess", train_images, idx_file({image_magic, 2, 28, 28}, pixels(2)), "2 images"},
        Fault{"LabelOutOfRange", train_labels, idx_file({label_magic, 3}, std::string_view("\x07\x0A\x00", 3)),
              "record 1: label 10, expected 0 to 9"}),
    [](const auto& test) { return test.param.what; });

TEST(Idx, MismatchedCountsNameBothFiles) {
  const TempFolder folder;
  write_good(folder.path());
  spill(folder / train_labels, idx_file({label_magic, 2}, std::string_view("\x01\x02", 2)));
  EXPECT_THAT(message_of<DataError>([&] { (void)open(folder.path()); }),
              AllOf(HasSubstr(train_labels), HasSubstr("2 labels"), HasSubstr(train_images), HasSubstr("3 images")));
}

TEST(Idx, ConstantImagesCannotBeNormalised) {
  const TempFolder folder;
  write_good(folder.path());
  spill(folder / train_images, idx_file({image_magic, 3, 28, 28}, std::string(3 * image_bytes, 'x')));
  EXPECT_THAT(message_of<DataError>([&] { (void)open(folder.path()); }), HasSubstr("alike"));
}

TEST(Idx, EveryTruncationOfAGzipFileIsFound) {
  const TempFolder folder;
  write_good(folder.path());
  const std::string whole = gzipped(good_images());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    spill(folder / train_images, whole.substr(0, size));
    EXPECT_THROW((void)open(folder.path()), DataError) << size;
  }
  spill(folder / train_images, whole + "x");
  EXPECT_THAT(message_of<DataError>([&] { (void)open(folder.path()); }), HasSubstr("1 bytes follow the gzip stream"));
}

TEST(Idx, GzipChecksumFindsDamage) {
  const TempFolder folder;
  write_good(folder.path());
  std::string damaged = gzipped(good_images());
  damaged[damaged.size() - 6] ^= 1;  // in the checksum
  spill(folder / train_images, damaged);
  EXPECT_THAT(message_of<DataError>([&] { (void)open(folder.path()); }), HasSubstr("damaged gzip stream"));
}

/// Bytes that opening a damaged data set takes from the heap, all in all.
std::int64_t memory_of_refusal(const fs::path& root, const char* expected) {
  const std::int64_t before = test::allocated_bytes();
  EXPECT_THAT(message_of<DataError>([&] { (void)open(root); }), HasSubstr(expected));
  return test::allocated_bytes() - before;
}

TEST(Idx, ABombIsNotInflated) {
  const TempFolder folder;
  write_good(folder.path());
  // 64 MiB of zeros behind a header that promises three images; the bomb itself has 64 KiB.
  std::string bomb = good_images();
  bomb.resize(std::size_t{64} << 20);
  spill(folder / train_images, gzipped(bomb));
  EXPECT_LT(memory_of_refusal(folder.path(), "more than the 2368 bytes"), 1 << 20);
}

TEST(Idx, AHeaderCannotAskForMemoryTheFileCannotFill) {
  const TempFolder folder;
  write_good(folder.path());
  const std::string greedy = idx_file({image_magic, 1'000'000, 28, 28}, pixels(3));
  spill(folder / train_images, greedy);
  EXPECT_LT(memory_of_refusal(folder.path(), "2368 bytes, expected 784000016"), 1 << 20);
  spill(folder / train_images, gzipped(greedy));
  EXPECT_LT(memory_of_refusal(folder.path(), "cannot hold the 784000016"), 1 << 20);
}

TEST(Idx, SurvivesRandomMutations) {
  const TempFolder folder;
  write_good(folder.path());
  std::uint32_t state = 99;
  const auto draw = [&state](std::size_t bound) {
    state = state * 1664525U + 1013904223U;
    return static_cast<std::size_t>((static_cast<std::uint64_t>(state) * bound) >> 32);
  };
  const std::string images = good_images();
  const std::string zipped = gzipped(images);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string mutated = round % 2 == 0 ? images : zipped;
    const std::size_t range = round % 4 < 2 ? 24 : mutated.size();  // the header more often
    for (std::size_t edits = 1 + draw(3); edits > 0; --edits)
      mutated[draw(range)] = static_cast<char>(draw(256));
    if (draw(4) == 0) mutated.resize(draw(mutated.size()));
    spill(folder / train_images, mutated);
    try {
      ASSERT_EQ(open(folder.path()).train.size(), 3);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace dnas::engine
