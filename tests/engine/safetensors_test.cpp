#include "dnas/engine/safetensors.hpp"

#include "dnas/engine/file.hpp"
#include "dnas/kernels/error.hpp"
#include "support/allocation_count.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>

namespace dnas::engine {
namespace {

using test::message_of;
using test::slurp;
using test::spill;
using test::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

/// A file put together by hand: header length, header, data.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string file;
  for (int i = 0; i < 8; ++i)
    file += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  file += header;
  for (std::size_t i = 0; i < data_bytes; ++i)
    file += static_cast<char>(i + 1);
  return file;
}

std::string tensor(std::string_view name, std::string_view dtype, std::string_view shape, int begin, int end) {
  std::ostringstream text;
  text << '"' << name << R"(":{"dtype":")" << dtype << R"(","shape":)" << shape << R"(,"data_offsets":[)" << begin
       << ',' << end << "]}";
  return text.str();
}

/// A JSON object of these members.
std::string object(std::initializer_list<std::string_view> members) {
  std::string text = "{";
  for (const std::string_view member : members) {
    if (text.size() > 1) text += ',';
    text += member;
  }
  text += '}';
  return text;
}

TEST(SafetensorsReader, ReadsAFileMadeByHand) {
  const TempFolder folder;
  // Out of order, with spaces, an escape, an empty tensor and a scalar, as other writers do.
  const std::string header = object({R"("__metadata__":{"format":"pt"} )", tensor("b", "I32", "[]", 4, 8) + " \n",
                                     tensor("caf\\u00e9", "U8", "[2,2]", 0, 4), tensor("none", "F32", "[0,7]", 8, 8)}) +
                             "   ";
  spill(folder / "f", file_of(header, 8));
  const SafetensorsReader reader(folder / "f");
  ASSERT_EQ(reader.tensors().size(), 3U);
  EXPECT_EQ(reader.tensors()[0].name, "caf\xC3\xA9");
  EXPECT_EQ(reader.tensors()[1].name, "b");
  EXPECT_EQ(reader.tensors()[2].name, "none");
  EXPECT_EQ(reader.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  const TensorInfo* const b = reader.find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, DType::i32);
  EXPECT_TRUE(b->shape.empty());
  EXPECT_EQ(b->offset, 8 + header.size() + 4);
  std::array<std::byte, 4> data{};
  reader.read(*b, data);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(data), 0x08070605U);
  EXPECT_EQ(reader.find("caf\xC3\xA9")->shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(reader.find("c"), nullptr);
}

TEST(SafetensorsReader, AcceptsAHeaderWithoutTensors) {
  const TempFolder folder;
  spill(folder / "f", file_of("{}", 0));
  EXPECT_TRUE(SafetensorsReader(folder / "f").tensors().empty());
}

TEST(SafetensorsReader, ConvertsFloatingPointTypes) {
  const TempFolder folder;
  const std::vector<std::uint16_t> f16{0x3C00, 0xC000, 0x7BFF, 0x0001, 0x03FF, 0x0400, 0x7C00, 0xFC00, 0x8000, 0x7E01};
  const std::vector<std::uint16_t> bf16{0x3F80, 0xC000, 0x7F80, 0x0001};
  const std::vector<double> f64{1.0 / 3, -1e300, 1e-50, 3.0};
  const std::vector<float> f32{1.25F, -0.0F};
  const std::vector<std::int32_t> i32{1};
  const std::vector<TensorToWrite> tensors{{"f16", DType::f16, {10}, bytes_of(f16)},
                                           {"bf16", DType::bf16, {4}, bytes_of(bf16)},
                                           {"f64", DType::f64, {2, 2}, bytes_of(f64)},
                                           {"f32", DType::f32, {2, 1}, bytes_of(f32)},
                                           {"i32", DType::i32, {1}, bytes_of(i32)}};
  write_safetensors(folder / "f", tensors);
  const SafetensorsReader reader(folder / "f");
  constexpr float infinity = std::numeric_limits<float>::infinity();

  std::vector<float> out(10);
  reader.read_f32(*reader.find("f16"), out);
  const std::vector<float> expected{1.0F,     -2.0F,    65504.0F,  0x1p-24F, 1023 * 0x1p-24F,
                                    0x1p-14F, infinity, -infinity, -0.0F};
  EXPECT_TRUE(std::memcmp(out.data(), expected.data(), 9 * sizeof(float)) == 0);
  EXPECT_TRUE(std::isnan(out[9]));

  out.resize(4);
  reader.read_f32(*reader.find("bf16"), out);
  EXPECT_EQ(out, (std::vector<float>{1.0F, -2.0F, infinity, 0x1p-133F}));
  reader.read_f32(*reader.find("f64"), out);
  EXPECT_EQ(out, (std::vector<float>{0x1.555556p-2F, -infinity, 0.0F, 3.0F}));

  out.resize(2);
  reader.read_f32(*reader.find("f32"), out);
  EXPECT_EQ(std::memcmp(out.data(), f32.data(), 8), 0);

  std::vector<float> one(1);
  EXPECT_THAT(message_of<DataError>([&] { reader.read_f32(*reader.find("i32"), one); }),
              AllOf(HasSubstr("'i32'"), HasSubstr("i32, expected a floating-point")));
  EXPECT_THAT(message_of<DataError>([&] { reader.read_f32(*reader.find("f16"), one); }),
              AllOf(HasSubstr("'f16'"), HasSubstr("10 elements, expected 1")));
  std::array<std::byte, 7> seven{};
  EXPECT_THAT(message_of<DataError>([&] { reader.read(*reader.find("f32"), seven); }), HasSubstr("8 bytes"));
}

TEST(SafetensorsReader, ConvertsTensorsLongerThanOnePiece) {
  const TempFolder folder;
  std::vector<double> values(20'001);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<double>(i) / 8;
  const std::vector<TensorToWrite> tensors{{"long", DType::f64, {20'001}, bytes_of(values)}};
  write_safetensors(folder / "f", tensors);
  std::vector<float> out(values.size());
  const SafetensorsReader reader(folder / "f");
  reader.read_f32(*reader.find("long"), out);
  for (std::size_t i = 0; i < out.size(); ++i)
    ASSERT_EQ(out[i], static_cast<float>(i) / 8);
}

TEST(SafetensorsReader, FileThatShrinksIsAnErrorNotACrash) {
  const TempFolder folder;
  spill(folder / "f", file_of(object({tensor("a", "U8", "[64]", 0, 64)}), 64));
  const SafetensorsReader reader(folder / "f");
  std::filesystem::resize_file(folder / "f", 80);
  std::array<std::byte, 64> data{};
  EXPECT_THAT(message_of<DataError>([&] { reader.read(reader.tensors()[0], data); }), HasSubstr("cut short"));
}

struct BadHeader {
  const char* what;
  std::string header;
  std::size_t data_bytes;
  const char* message;
};

class SafetensorsRefusal : public ::testing::TestWithParam<BadHeader> {};

TEST_P(SafetensorsRefusal, NamesTheFileAndTheFault) {
  const TempFolder folder;
  spill(folder / "bad", file_of(GetParam().header, GetParam().data_bytes));
  EXPECT_THAT(message_of<DataError>([&] { SafetensorsReader(folder / "bad"); }),
              AllOf(HasSubstr((folder / "bad").string()), HasSubstr(GetParam().message)));
}

const std::string a4 = tensor("a", "F32", "[1]", 0, 4);

INSTANTIATE_TEST_SUITE_P(
    Headers, SafetensorsRefusal,
    ::testing::Values(
        BadHeader{"EmptyHeader", "", 0, "does not begin with '{'"},
        BadHeader{"Array", "[]", 0, "does not begin with '{'"},
        BadHeader{"LeadingSpace", " {}", 0, "does not begin with '{'"},
        BadHeader{"ByteOrderMark", "\xEF\xBB\xBF{}", 0, "does not begin with '{'"},
        BadHeader{"Unfinished", object({a4}).substr(0, 50), 4, "not valid JSON"},
        BadHeader{"TrailingText", object({a4}) + "x", 4, "not valid JSON"},
        BadHeader{"TrailingZero", object({a4}) + std::string(1, '\0') + "{", 4, "zero byte at"},
        BadHeader{"Comment", object({std::string("/**/").append(a4)}), 4, "not valid JSON"},
        BadHeader{"InvalidUtf8", object({tensor("\xFF", "F32", "[1]", 0, 4)}), 4, "not valid JSON"},
        BadHeader{"SameTensorTwice", object({a4, tensor("a", "F32", "[1]", 4, 8)}), 8, "'a' appears twice"},
        BadHeader{"SameNameByEscape", object({a4, tensor("\\u0061", "F32", "[1]", 4, 8)}), 8, "'a' appears twice"},
        BadHeader{"MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", 0, "'__metadata__' appears twice"},
        BadHeader{"MetadataKeyTwice", R"({"__metadata__":{"k":"1","k":"2"}})", 0, "'k' appears twice"},
        BadHeader{"MetadataNumber", R"({"__metadata__":{"k":1}})", 0, "a number is not allowed"},
        BadHeader{"MetadataNested", R"({"__metadata__":{"k":{}}})", 0, "an object is not allowed"},
        BadHeader{"KeyTwice", R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
                  "'dtype' appears twice"},
        BadHeader{"UnknownKey", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4,
                  "unknown key 'x'"},
        BadHeader{"NoShape", R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "are all needed"},
        BadHeader{"NoTensorObject", R"({"a":3})", 0, "a number is not allowed"},
        BadHeader{"NullTensor", R"({"a":null})", 0, "null is not allowed"},
        BadHeader{"UnknownDtype", object({tensor("a", "F8_E4M3", "[4]", 0, 4)}), 4, "dtype 'F8_E4M3' is not supported"},
        BadHeader{"NegativeExtent", object({tensor("a", "F32", "[-1]", 0, 4)}), 4, "negative number -1"},
        BadHeader{"FractionalExtent", object({tensor("a", "F32", "[1.0]", 0, 4)}), 4, "the number 1.0"},
        BadHeader{"HugeExtent", object({tensor("a", "F32", "[18446744073709551615]", 0, 4)}), 4, "too large"},
        BadHeader{"BeyondInteger", object({tensor("a", "F32", "[99999999999999999999]", 0, 4)}), 4, "is not allowed"},
        BadHeader{"SizeOverflows", object({tensor("a", "F32", "[4611686018427387905]", 0, 4)}), 4, "overflows"},
        BadHeader{"ProductOverflows", object({tensor("a", "U8", "[4294967296,4294967296]", 0, 0)}), 0, "overflows"},
        BadHeader{"NineAxes", object({tensor("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4)}), 4, "more than 8 axes"},
        BadHeader{"NestedShape", object({tensor("a", "F32", "[[1]]", 0, 4)}), 4, "an array is not allowed"},
        BadHeader{"Backwards", object({tensor("a", "U8", "[1]", 1, 0)}), 1, "run backwards"},
        BadHeader{"OneOffset", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4]}})", 4, "has 1 numbers"},
        BadHeader{"ThreeOffsets", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4,
                  "more than 2 numbers"},
        BadHeader{"SizeDisagrees", object({tensor("a", "F32", "[2]", 0, 4)}), 4,
                  "hold 4 bytes, shape and dtype need 8"},
        BadHeader{"Overlap", object({a4, tensor("b", "U8", "[4]", 2, 6)}), 6, "without overlap"},
        BadHeader{"Hole", object({a4, tensor("b", "U8", "[4]", 5, 9)}), 9, "without hole"},
        BadHeader{"HoleAtTheStart", object({tensor("a", "U8", "[4]", 1, 5)}), 5, "without hole"},
        BadHeader{"DataCutShort", object({a4}), 3, "it was cut short"},
        BadHeader{"DataTooLong", object({a4}), 5, "belong to no tensor"},
        BadHeader{"LongName", object({tensor(std::string(257, 'n'), "F32", "[1]", 0, 4)}), 4, "has 257 bytes"}),
    [](const auto& test) { return test.param.what; });

TEST(SafetensorsReader, RefusesAHeaderLongerThanTheFile) {
  const TempFolder folder;
  for (const std::uint64_t length : {std::uint64_t{1}, std::uint64_t{100'000'000}, ~std::uint64_t{0}}) {
    std::string file(8, '\0');
    std::memcpy(file.data(), &length, 8);
    spill(folder / "f", file);
    const std::int64_t before = test::allocated_bytes();
    EXPECT_THAT(message_of<DataError>([&] { SafetensorsReader(folder / "f"); }), HasSubstr("at most 0 are possible"));
    EXPECT_LT(test::allocated_bytes() - before, 1 << 20);
  }
}

TEST(SafetensorsReader, RefusesAHeaderOfMoreThan100Megabytes) {
  const TempFolder folder;
  const std::uint64_t length = 100'000'001;
  spill(folder / "f", std::string(reinterpret_cast<const char*>(&length), 8));
  std::filesystem::resize_file(folder / "f", 200'000'000);  // sparse
  EXPECT_THAT(message_of<DataError>([&] { SafetensorsReader(folder / "f"); }), HasSubstr("at most 100000000"));
}

TEST(SafetensorsReader, DeepNestingDoesNotExhaustTheStack) {
  const TempFolder folder;
  std::string deep = "{\"a\":";
  deep.append(5'000'000, '[');
  spill(folder / "f", file_of(deep, 0));
  EXPECT_THROW(SafetensorsReader(folder / "f"), DataError);
}

TEST(SafetensorsReader, SaysWhatIsMissing) {
  const TempFolder folder;
  EXPECT_THAT(message_of<MissingError>([&] { SafetensorsReader(folder / "absent"); }), HasSubstr("absent"));
  EXPECT_THROW(SafetensorsReader(folder.path()), DataError);
}

/// A small valid file with everything in it.
std::string sample(const TempFolder& folder) {
  const std::vector<float> weights{1, 2, 3, 4, 5, 6};
  const std::vector<std::int64_t> counter{7};
  const std::vector<TensorToWrite> tensors{{"cells.0.weight", DType::f32, {2, 3}, bytes_of(weights)},
                                           {"step", DType::i64, {}, bytes_of(counter)}};
  write_safetensors(folder / "sample", tensors, {{"note", "x"}});
  return slurp(folder / "sample");
}

TEST(SafetensorsReader, FindsEveryTruncation) {
  const TempFolder folder;
  const std::string whole = sample(folder);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    spill(folder / "f", whole.substr(0, size));
    EXPECT_THROW(SafetensorsReader(folder / "f"), DataError) << size;
  }
}

/// Opens a possibly damaged file and reads all it claims to hold; only errors of ours may come out.
void read_all(const std::filesystem::path& path) {
  try {
    const SafetensorsReader reader(path);
    for (const TensorInfo& info : reader.tensors()) {
      ASSERT_LE(info.bytes, 10'000U);  // the file is smaller
      std::vector<std::byte> data(info.bytes);
      reader.read(info, data);
    }
  } catch (const Error&) {
  }
}

TEST(SafetensorsReader, SurvivesEveryBitFlip) {
  const TempFolder folder;
  const std::string whole = sample(folder);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    spill(folder / "f", flipped);
    EXPECT_NO_FATAL_FAILURE(read_all(folder / "f")) << "bit " << bit;
  }
}

TEST(SafetensorsReader, SurvivesRandomMutations) {
  const TempFolder folder;
  const std::string whole = sample(folder);
  const std::string alphabet = "{}[]\",:0123456789-eE.\\ u";
  std::uint32_t state = 12345;
  const auto draw = [&state](std::size_t bound) {
    state = state * 1664525U + 1013904223U;
    return static_cast<std::size_t>((static_cast<std::uint64_t>(state) * bound) >> 32);
  };
  for (int round = 0; round < 2000; ++round) {
    std::string mutated = whole;
    for (std::size_t edits = 1 + draw(4); edits > 0; --edits) {
      const std::size_t at = draw(mutated.size());
      switch (draw(4)) {
        case 0:
          mutated[at] = static_cast<char>(draw(256));
          break;
        case 1:
          mutated[at] = alphabet[draw(alphabet.size())];
          break;
        case 2:
          mutated.erase(at, 1 + draw(8));
          break;
        default:
          mutated.insert(at, whole.substr(draw(whole.size()), draw(40)));
          break;
      }
      if (mutated.empty()) mutated.push_back('x');
    }
    spill(folder / "f", mutated);
    ASSERT_NO_FATAL_FAILURE(read_all(folder / "f")) << "round " << round;
  }
}

TEST(WriteSafetensors, LaysTheFileOutAsTheFormatSays) {
  const TempFolder folder;
  const std::vector<std::uint8_t> three{10, 20, 30};
  const std::vector<float> one{1.0F};
  const std::vector<TensorToWrite> tensors{{"z", DType::u8, {3}, bytes_of(three)},
                                           {"a\"b", DType::f32, {1, 1}, bytes_of(one)}};
  const std::string hash = write_safetensors(folder / "f", tensors, {{"k", "v"}});
  std::string header = R"({"__metadata__":{"k":"v"},"z":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                       R"("a\"b":{"dtype":"F32","shape":[1,1],"data_offsets":[3,7]}})";
  while ((8 + header.size()) % 64 != 0)
    header += ' ';
  std::string expected = file_of(header, 0);
  expected += std::string("\x0A\x14\x1E\x00\x00\x80\x3F", 7);
  EXPECT_EQ(slurp(folder / "f"), expected);
  EXPECT_EQ(hash, hash_file(folder / "f"));
}

TEST(WriteSafetensors, RefusesWhatNoReaderWouldTake) {
  const TempFolder folder;
  const std::vector<float> one{1.0F};
  const auto refusal = [&](const std::vector<TensorToWrite>& tensors) {
    const std::string message = message_of<DataError>([&] { write_safetensors(folder / "f", tensors); });
    EXPECT_FALSE(std::filesystem::exists(folder / "f"));
    return message;
  };
  const auto data = bytes_of(one);
  EXPECT_THAT(refusal({{"a", DType::f32, {1}, data}, {"a", DType::f32, {1}, data}}), HasSubstr("'a'"));
  EXPECT_THAT(refusal({{"a", DType::f32, {2}, data}}), HasSubstr("shape [2] of f32 needs 8 bytes, the data have 4"));
  EXPECT_THAT(refusal({{"a", DType::f32, {-1}, data}}), HasSubstr("overflows"));
  EXPECT_THAT(refusal({{"a", DType::f32, {1L << 62, 4}, data}}), HasSubstr("overflows"));
  EXPECT_THAT(refusal({{"a", DType::f32, {1, 1, 1, 1, 1, 1, 1, 1, 1}, data}}), HasSubstr("9 axes"));
  EXPECT_THAT(refusal({{"__metadata__", DType::f32, {1}, data}}), HasSubstr("reserved"));
  EXPECT_THAT(refusal({{std::string(257, 'n'), DType::f32, {1}, data}}), HasSubstr("at most 256"));
  EXPECT_THAT(refusal({{"\xFF", DType::f32, {1}, data}}), HasSubstr("UTF-8"));
}

TEST(WriteSafetensors, FullDiskIsAnIoError) {
  const std::vector<float> one{1.0F};
  const std::vector<TensorToWrite> tensors{{"a", DType::f32, {1}, bytes_of(one)}};
  EXPECT_THAT(message_of<IoError>([&] { write_safetensors("/dev/full", tensors); }), HasSubstr("--resume"));
}

}  // namespace
}  // namespace dnas::engine
