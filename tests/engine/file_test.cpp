#include "dnas/engine/file.hpp"

#include "dnas/kernels/error.hpp"
#include "support/child_process.hpp"
#include "support/idx_files.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <string>

#include <sys/stat.h>

namespace dnas::engine {
namespace {

using test::message_of;
using test::slurp;
using test::spill;
using test::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Published XXH3-128 (seed 0) of the empty input.
constexpr const char* hash_of_nothing = "99aa06d3014798d86001c324468d497f";

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>(i * 131 % 251);
  return text;
}

TEST(ReadText, GivesBackWhatIsThere) {
  const TempFolder folder;
  for (const std::size_t size : {0U, 1U, 65'535U, 65'536U, 65'537U, 1'000'003U}) {
    spill(folder / "text", pattern(size));
    EXPECT_EQ(read_text(folder / "text"), pattern(size)) << size;
  }
}

TEST(ReadText, RefusesMoreThanTheLimit) {
  const TempFolder folder;
  spill(folder / "text", pattern(11));
  EXPECT_EQ(read_text(folder / "text", 11).size(), 11U);
  EXPECT_THAT(message_of<DataError>([&] { (void)read_text(folder / "text", 10); }),
              AllOf(HasSubstr((folder / "text").string()), HasSubstr("10 bytes")));
}

TEST(ReadText, EndlessDeviceStopsAtTheLimit) {
  EXPECT_THROW((void)read_text("/dev/zero", 1000), DataError);
}

TEST(ReadUnpackedText, GivesTheContentOfPlainAndOfGzipFiles) {
  const TempFolder folder;
  for (const std::size_t size : {0U, 1U, 65'536U, 65'537U, 1'000'003U}) {
    spill(folder / "text", pattern(size));
    EXPECT_EQ(read_unpacked_text(folder / "text"), pattern(size)) << size;
    spill(folder / "text.gz", test::gzipped(pattern(size)));
    EXPECT_EQ(read_unpacked_text(folder / "text.gz"), pattern(size)) << size;
  }
}

TEST(ReadUnpackedText, TheLimitCountsWhatIsPacked) {
  const TempFolder folder;
  spill(folder / "zeros.gz", test::gzipped(std::string(1'000'000, '\0')));
  EXPECT_EQ(read_unpacked_text(folder / "zeros.gz", 1'000'000).size(), 1'000'000U);
  EXPECT_THAT(message_of<DataError>([&] { (void)read_unpacked_text(folder / "zeros.gz", 999'999); }),
              AllOf(HasSubstr((folder / "zeros.gz").string()), HasSubstr("999999 bytes")));
}

TEST(ReadUnpackedText, RefusesADamagedStream) {
  const TempFolder folder;
  std::string packed = test::gzipped(pattern(10'000));
  spill(folder / "cut.gz", std::string_view(packed).substr(0, packed.size() - 1));
  EXPECT_THROW((void)read_unpacked_text(folder / "cut.gz"), DataError);
  packed[packed.size() - 6] = static_cast<char>(packed[packed.size() - 6] ^ 1);  // of the checksum
  spill(folder / "bad.gz", packed);
  EXPECT_THROW((void)read_unpacked_text(folder / "bad.gz"), DataError);
}

TEST(ReadText, SaysWhatIsMissing) {
  const TempFolder folder;
  EXPECT_THAT(message_of<MissingError>([&] { (void)read_text(folder / "absent"); }),
              AllOf(HasSubstr((folder / "absent").string()), HasSubstr("does not exist")));
  spill(folder / "file", "x");
  EXPECT_THROW((void)read_text(folder / "file/below"), MissingError);
  EXPECT_THROW((void)read_text(folder.path()), IoError);  // a folder
}

TEST(WriteTextAtomically, CreatesAndReplaces) {
  const TempFolder folder;
  write_text_atomically(folder / "text", "first");
  EXPECT_EQ(slurp(folder / "text"), "first");
  write_text_atomically(folder / "text", pattern(100'000));
  EXPECT_EQ(slurp(folder / "text"), pattern(100'000));
  EXPECT_EQ(test::entries(folder.path()), std::vector<std::string>{"text"});
}

TEST(WriteTextAtomically, FailureKeepsTheOldContent) {
  const TempFolder folder;
  spill(folder / "text", "old");
  const int code = test::wait_for(test::start_child([&] {
    test::limit_file_size(1000);
    try {
      write_text_atomically(folder / "text", pattern(5000));
    } catch (const IoError& error) {
      return std::string_view(error.what()).find("cannot write") != std::string_view::npos ? 0 : 2;
    }
    return 1;
  }));
  EXPECT_EQ(code, 0);
  EXPECT_EQ(slurp(folder / "text"), "old");
  EXPECT_EQ(test::entries(folder.path()), std::vector<std::string>{"text"});
}

TEST(WriteTextAtomically, MissingFolderIsNamed) {
  const TempFolder folder;
  EXPECT_THAT(message_of<IoError>([&] { write_text_atomically(folder / "no/text", "x"); }),
              AllOf(HasSubstr("no/text"), HasSubstr("No such file")));
  std::filesystem::create_directory(folder / "taken");
  EXPECT_THROW(write_text_atomically(folder / "taken", "x"), IoError);  // a folder has that name
  EXPECT_EQ(test::entries(folder.path()), std::vector<std::string>{"taken"});
}

TEST(FileWriter, WritesAndHashesAnySequenceOfPieces) {
  const TempFolder folder;
  const std::string text = pattern(1'500'000);
  std::string hash;
  for (const std::size_t piece : {1'500'000U, 300'000U, 262'144U, 100'001U, 4096U}) {
    FileWriter file(folder / "data");
    for (std::size_t done = 0; done < text.size(); done += piece) {
      file.write(bytes_of(text).subspan(done, std::min(piece, text.size() - done)));
    }
    file.close();
    EXPECT_EQ(file.bytes(), text.size());
    EXPECT_TRUE(slurp(folder / "data") == text) << "pieces of " << piece;
    EXPECT_EQ(file.hash(), hash_file(folder / "data"));
    if (hash.empty()) hash = file.hash();
    EXPECT_EQ(file.hash(), hash);
  }
}

TEST(FileWriter, EmptyFileHasThePublishedHash) {
  const TempFolder folder;
  FileWriter file(folder / "empty");
  file.close();
  file.close();  // again: nothing happens
  EXPECT_EQ(file.hash(), hash_of_nothing);
  EXPECT_EQ(hash_file(folder / "empty"), hash_of_nothing);
}

TEST(FileWriter, FullDiskSaysHowToGoOn) {
  const std::string message = message_of<IoError>([] {
    FileWriter file("/dev/full");
    file.write(bytes_of("some bytes"));
    file.close();
  });
  EXPECT_THAT(message,
              AllOf(HasSubstr("/dev/full"), HasSubstr("No space left"), HasSubstr("full"), HasSubstr("--resume")));
}

TEST(FileWriter, FullDiskShowsInALargeWrite) {
  FileWriter file("/dev/full");
  EXPECT_THROW(file.write(bytes_of(pattern(1'000'000))), IoError);
}

TEST(HashFile, ChangesWithEveryBit) {
  const TempFolder folder;
  std::string text = pattern(40);
  spill(folder / "data", text);
  const std::string hash = hash_file(folder / "data");
  EXPECT_EQ(hash.size(), 32U);
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    spill(folder / "data", flipped);
    EXPECT_NE(hash_file(folder / "data"), hash) << "bit " << bit;
  }
}

TEST(HashFile, RefusesWhatIsNotAFile) {
  const TempFolder folder;
  EXPECT_THROW((void)hash_file(folder / "absent"), MissingError);
  EXPECT_THROW((void)hash_file(folder.path()), DataError);
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THROW((void)hash_file(folder / "pipe"), DataError);  // and does not wait for a writer
}

TEST(SyncPath, TakesFilesAndFolders) {
  const TempFolder folder;
  spill(folder / "data", "x");
  EXPECT_NO_THROW(sync_path(folder / "data"));
  EXPECT_NO_THROW(sync_path(folder.path()));
  EXPECT_THROW(sync_path(folder / "absent"), Error);
}

}  // namespace
}  // namespace dnas::engine
