#include "dnas/engine/mapped_file.hpp"

#include "dnas/engine/file.hpp"
#include "dnas/kernels/error.hpp"
#include "support/temp_folder.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

namespace dnas::engine {
namespace {

using test::spill;
using test::TempFolder;

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, IsTheContent) {
  const TempFolder folder;
  for (const std::size_t size : {0U, 1U, 4096U, 100'001U}) {
    std::string content(size, 'a');
    if (size > 0) content.back() = 'z';
    spill(folder / "f", content);
    EXPECT_EQ(text_of(MappedFile(folder / "f")), content);
  }
}

TEST(MappedFile, StaysWhatItWasWhenTheFileIsReplacedOrRemoved) {
  const TempFolder folder;
  spill(folder / "f", "old");
  const MappedFile file(folder / "f");
  write_text_atomically(folder / "f", "another");
  EXPECT_EQ(text_of(file), "old");
  std::filesystem::remove(folder / "f");
  EXPECT_EQ(text_of(file), "old");
}

TEST(MappedFile, StaysAtItsPlaceWhenItIsMoved) {
  const TempFolder folder;
  spill(folder / "f", "first");
  spill(folder / "g", "second");
  MappedFile file(folder / "f");
  const std::byte* const place = file.bytes().data();
  MappedFile moved = std::move(file);
  EXPECT_EQ(moved.bytes().data(), place);
  moved = MappedFile(folder / "g");
  EXPECT_EQ(text_of(moved), "second");
}

TEST(MappedFile, RefusesWhatIsNoFile) {
  const TempFolder folder;
  EXPECT_THROW((void)MappedFile(folder / "absent"), MissingError);
  EXPECT_THROW((void)MappedFile(folder.path()), DataError);
  EXPECT_THROW((void)MappedFile("/dev/null"), DataError);
}

}  // namespace
}  // namespace dnas::engine
