#include "dnas/engine/dataset.hpp"
#include "dnas/kernels/error.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <fstream>

namespace dnas::engine {
namespace {

using test::message_of;
using test::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::uintmax_t cifar10_file = 10'000 * 3073;  // bytes

/// Writes bytes into the middle of a file.
void patch(const fs::path& path, std::size_t offset, std::string_view bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.flush()) << path;
}

/// A sparse file: all zeros is a valid content, label 0 and a black image.
void zeros(const fs::path& path, std::uintmax_t bytes) {
  test::spill(path, "");
  fs::resize_file(path, bytes);
}

void write_cifar10(const fs::path& folder) {
  fs::create_directories(folder);
  for (int i = 1; i <= 5; ++i)
    zeros(folder / ("data_batch_" + std::to_string(i) + ".bin"), cifar10_file);
  zeros(folder / "test_batch.bin", cifar10_file);
}

Dataset open(const std::string& name, const fs::path& root) {
  return datasets().at(name).open({root, 0});
}

TEST(Cifar10, TurnsPlanesIntoPixels) {
  const TempFolder folder;
  const fs::path files = folder / "cifar-10-batches-bin";
  write_cifar10(files);
  // Record 2 of the third file is image 20,002: label 9; red, green and blue of pixel (1, 3), which is number 35.
  const std::size_t record = 2 * 3073;
  patch(files / "data_batch_3.bin", record, "\x09");
  patch(files / "data_batch_3.bin", record + 1 + 35, "\x11");
  patch(files / "data_batch_3.bin", record + 1 + 1024 + 35, "\x22");
  patch(files / "data_batch_3.bin", record + 1 + 2048 + 35, "\x33");
  patch(files / "test_batch.bin", 9'999 * 3073, "\x05");

  const Dataset cifar = open("cifar10", folder.path());
  EXPECT_EQ(cifar.classes, 10);
  EXPECT_EQ(cifar.train.image, (Shape{32, 32, 3}));
  EXPECT_EQ(datasets().at("cifar10").image, cifar.train.image);
  EXPECT_EQ(datasets().at("cifar10").classes, cifar.classes);
  EXPECT_EQ(cifar.train.size(), 50'000);
  EXPECT_EQ(cifar.test.size(), 10'000);
  EXPECT_EQ(cifar.train.labels[20'001], 0);
  EXPECT_EQ(cifar.train.labels[20'002], 9);
  EXPECT_EQ(cifar.test.labels[9'999], 5);
  const std::size_t pixel = (20'002U * 1024 + 35) * 3;
  EXPECT_EQ(cifar.train.pixels[pixel], 0x11);
  EXPECT_EQ(cifar.train.pixels[pixel + 1], 0x22);
  EXPECT_EQ(cifar.train.pixels[pixel + 2], 0x33);
  EXPECT_EQ(std::count(cifar.train.pixels.begin(), cifar.train.pixels.end(), 0), 50'000L * 3072 - 3);
  EXPECT_EQ(cifar.crop_padding, 4);
  EXPECT_TRUE(cifar.flip);
  EXPECT_EQ(cifar.mean, (std::vector<float>{0.49139968F, 0.48215827F, 0.44653124F}));
  EXPECT_EQ(cifar.std, (std::vector<float>{0.24703233F, 0.24348505F, 0.26158768F}));
}

TEST(Cifar10, DamageIsNamedByFileAndRecord) {
  const TempFolder folder;
  write_cifar10(folder.path());  // the files may also lie in the root itself
  const auto message = [&] { return message_of<DataError>([&] { (void)open("cifar10", folder.path()); }); };

  patch(folder / "data_batch_2.bin", 7 * 3073, "\x0A");
  EXPECT_THAT(message(), AllOf(HasSubstr("data_batch_2.bin"), HasSubstr("record 7: label 10, expected 0 to 9")));
  zeros(folder / "data_batch_2.bin", cifar10_file - 1);
  EXPECT_THAT(message(), AllOf(HasSubstr("data_batch_2.bin"), HasSubstr("has 30729999 bytes, expected 30730000"),
                               HasSubstr("record 9999")));
  zeros(folder / "data_batch_2.bin", cifar10_file - 3073);
  EXPECT_THAT(message(), HasSubstr("record 9999"));
  zeros(folder / "data_batch_2.bin", cifar10_file + 1);
  EXPECT_THAT(message(), HasSubstr("has 30730001 bytes, at most 30730000"));
  zeros(folder / "data_batch_2.bin", 0);
  EXPECT_THAT(message(), HasSubstr("has 0 bytes"));
  fs::remove(folder / "data_batch_2.bin");
  EXPECT_THAT(message_of<MissingError>([&] { (void)open("cifar10", folder.path()); }), HasSubstr("data_batch_2.bin"));
}

TEST(Cifar10, SaysWhereTheFilesComeFrom) {
  const TempFolder folder;
  EXPECT_THAT(message_of<MissingError>([] { (void)open("cifar10", {}); }),
              AllOf(HasSubstr("--data"), HasSubstr("cifar-10-binary.tar.gz")));
  EXPECT_THAT(message_of<MissingError>([&] { (void)open("cifar10", folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("https://www.cs.toronto.edu/~kriz/cifar.html")));
  fs::create_directory(folder / "cifar-10-batches-py");
  EXPECT_THAT(message_of<MissingError>([&] { (void)open("cifar10", folder.path()); }),
              AllOf(HasSubstr("version for Python"), HasSubstr("binary version is needed")));
}

TEST(Cifar100, ReadsTheFineLabel) {
  const TempFolder folder;
  const fs::path files = folder / "cifar-100-binary";
  fs::create_directories(files);
  zeros(files / "train.bin", 50'000 * 3074);
  zeros(files / "test.bin", 10'000 * 3074);
  patch(files / "train.bin", 49'999 * 3074, std::string_view("\x13\x63\x44", 3));  // coarse 19, fine 99, red of (0, 0)
  const Dataset cifar = open("cifar100", folder.path());
  EXPECT_EQ(cifar.classes, 100);
  EXPECT_EQ(datasets().at("cifar100").image, cifar.train.image);
  EXPECT_EQ(datasets().at("cifar100").classes, cifar.classes);
  EXPECT_EQ(cifar.train.size(), 50'000);
  EXPECT_EQ(cifar.test.size(), 10'000);
  EXPECT_EQ(cifar.train.labels.back(), 99);
  EXPECT_EQ(cifar.train.pixels[49'999U * 3072], 0x44);

  patch(files / "test.bin", 1, "\x64");
  EXPECT_THAT(message_of<DataError>([&] { (void)open("cifar100", folder.path()); }),
              AllOf(HasSubstr("test.bin"), HasSubstr("record 0: label 100, expected 0 to 99")));
}

}  // namespace
}  // namespace dnas::engine
