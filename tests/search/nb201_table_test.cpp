#include "dnas/search/nb201_table.hpp"

#include "dnas/engine/file.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/nb201_benchmark.hpp"
#include "support/idx_files.hpp"
#include "support/nb201_csv.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

namespace dnas::search {
namespace {

using test::message_of;
using test::slurp;
using test::spill;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields(1);
  for (const char c : line) {
    if (c == ',')
      fields.emplace_back();
    else
      fields.back() += c;
  }
  return fields;
}

class Nb201 : public ::testing::Test {
 protected:
  std::filesystem::path csv() const { return folder_ / "t.csv"; }
  std::filesystem::path table() const { return folder_ / "t.dnas"; }

  Nb201Conversion convert(std::string_view text) const {
    spill(csv(), text);
    return convert_nb201_csv(csv(), table());
  }
  /// The message that the conversion of these lines ends with; it leaves no file.
  std::string rejection(const std::vector<std::string>& lines) const { return rejection(test::joined(lines)); }
  std::string rejection(std::string_view text) const {
    std::string message = message_of<DataError>([&] { (void)convert(text); });
    EXPECT_FALSE(std::filesystem::exists(table()));
    EXPECT_EQ(test::entries(folder_.path()).size(), 1U) << "the CSV file alone";
    return message;
  }
  /// The message that opening a table of these bytes ends with.
  std::string refusal(std::string_view bytes) const {
    spill(folder_ / "bad.dnas", bytes);
    return message_of<DataError>([&] { (void)Nb201Table(folder_ / "bad.dnas"); });
  }

  test::TempFolder folder_;
  std::vector<std::string> lines_ = test::nb201_csv_lines();
};

TEST_F(Nb201, EveryFigureOfTheCsvFileIsInTheTable) {
  const Nb201Conversion done = convert(test::joined(lines_));
  EXPECT_THAT(done.columns, ElementsAre("c10_test", "c100_test", "im16_test", "params_c10", "macs_c10"));
  EXPECT_TRUE(done.ignored.empty());
  EXPECT_EQ(done.bytes, std::filesystem::file_size(table()));

  const Nb201Table table(this->table());
  ASSERT_EQ(table.columns().size(), 5U);
  std::set<int> codes;
  for (auto line = lines_.begin() + 1; line != lines_.end(); ++line) {
    const std::vector<std::string> fields = fields_of(*line);
    const int code = nb201_code(parse_nb201_cell(fields[1]));
    ASSERT_EQ(table.index_of(code), std::stoi(fields[0]));
    ASSERT_EQ(table.code_of_index(std::stoi(fields[0])), code);
    for (std::size_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(table.columns()[i].is_accuracy());
      ASSERT_EQ(table.columns()[i].at(code), std::strtof(fields[2 + i].c_str(), nullptr));
    }
    for (std::size_t i = 3; i < 5; ++i) {
      ASSERT_FALSE(table.columns()[i].is_accuracy());
      ASSERT_EQ(table.columns()[i].at(code), std::stod(fields[2 + i]));
    }
    codes.insert(code);
  }
  EXPECT_EQ(codes.size(), 15'625U);
}

TEST_F(Nb201, BestAndRanksAreThoseOfTheRealRows) {
  (void)convert(test::joined(lines_));
  const Nb201Table table(this->table());
  const std::array<std::pair<const char*, int>, 3> best = {
      {{"c10_test", 6111}, {"c100_test", 9930}, {"im16_test", 857}}};
  for (const auto& [name, index] : best) {
    const int code = best_codes(table, table.column(name), 1).front();
    EXPECT_EQ(table.index_of(code), index) << name;
    EXPECT_EQ(rank_of(table.column(name), code), 1);
  }
  // Accuracies of the other rows rise with the code, up to 90.3 per cent.
  const Nb201Column& c10 = table.column("c10_test");
  std::vector<std::int64_t> indices;
  for (const int code : best_codes(table, c10, 4))
    indices.push_back(table.index_of(code));
  EXPECT_THAT(indices, ElementsAre(6111, 9930, 857, 1));
  EXPECT_EQ(best_codes(table, c10, 5).back(), nb201_architectures - 1);
  EXPECT_EQ(rank_of(c10, nb201_architectures - 1), 5);
  EXPECT_EQ(rank_of(c10, 0), nb201_architectures) << "0 per cent";
  // Of counts the least is best; the all-skip row has the fewest parameters here.
  EXPECT_EQ(table.index_of(best_codes(table, table.column("params_c10"), 1).front()), 1835);
}

TEST_F(Nb201, AmongEqualsTheLowerIndexComesFirst) {
  for (std::size_t i = 1; i < lines_.size(); ++i) {
    const std::vector<std::string> f = fields_of(lines_[i]);
    lines_[i] = f[0] + "," + f[1] + ",50,40,30,100,200";
  }
  (void)convert(test::joined(lines_));
  const Nb201Table table(this->table());
  const std::vector<int> codes = best_codes(table, table.column("c10_test"), nb201_architectures);
  for (std::size_t i = 0; i < codes.size(); ++i)
    ASSERT_EQ(table.index_of(codes[i]), static_cast<std::int64_t>(i));
  EXPECT_EQ(rank_of(table.column("c10_test"), codes.back()), 1);
}

TEST_F(Nb201, GzipOtherLineEndsQuotesAndOrderOfColumnsMakeTheSameTable) {
  (void)convert(test::joined(lines_));
  const std::string plain = slurp(table());

  (void)convert(test::gzipped(test::joined(lines_)));
  EXPECT_EQ(slurp(table()), plain);

  std::string other = "\xEF\xBB\xBF";
  for (const std::string& line : lines_) {
    const std::vector<std::string> f = fields_of(line);
    other += "\"" + f[1] + "\",\"a, \"\"b\"\"\"," + f[2] + "," + f[3] + "," + f[4] + "," + f[5] + "," + f[6] + "," +
             f[0] + "\r\n";
  }
  const Nb201Conversion done = convert(other + "\r\n");
  EXPECT_EQ(slurp(table()), plain);
  EXPECT_THAT(done.ignored, ElementsAre("a, \"b\""));
}

TEST_F(Nb201, FurtherColumnsAreTakenByTheirNames) {
  lines_[0] += ",im16_val_12ep,c10_flops,params_c100,latency,params_c10_12ep";
  for (std::size_t i = 1; i < lines_.size(); ++i)
    lines_[i] += ",12.5,x,7,y,8";
  const Nb201Conversion done = convert(test::joined(lines_));
  EXPECT_THAT(done.ignored, ElementsAre("c10_flops", "latency", "params_c10_12ep"));
  const Nb201Table table(this->table());
  EXPECT_EQ(table.column("im16_val_12ep").at(4711), 12.5);
  EXPECT_EQ(table.column("params_c100").at(4711), 7);
}

TEST_F(Nb201, RowsThatAreThereTwiceOrMissingAreRefused) {
  std::vector<std::string> twice = lines_;
  twice.push_back(lines_[17]);
  EXPECT_THAT(rejection(twice), AllOf(HasSubstr("t.csv:15627: the architecture '"), HasSubstr("first in line 18")));

  std::vector<std::string> same_index = lines_;
  same_index[9].replace(0, same_index[9].find(','), fields_of(lines_[4])[0]);
  EXPECT_THAT(rejection(same_index), AllOf(HasSubstr("t.csv:10: the index"), HasSubstr("first in line 5")));

  std::vector<std::string> missing = lines_;
  const auto skips =
      std::find_if(missing.begin(), missing.end(), [](const std::string& line) { return line.rfind("1835,", 0) == 0; });
  ASSERT_NE(skips, missing.end());
  missing.erase(skips);
  EXPECT_THAT(rejection(missing),
              AllOf(HasSubstr("t.csv:15625: the file ends here without 1 of the 15625 architectures"),
                    HasSubstr("'|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|")));
}

TEST_F(Nb201, WrongValuesAreRefusedWithTheirLine) {
  const auto with = [&](std::size_t field, const std::string& value) {
    std::vector<std::string> lines = lines_;
    std::vector<std::string> fields = fields_of(lines[41]);
    fields[field] = value;
    lines[41] = fields[0];
    for (std::size_t i = 1; i < fields.size(); ++i)
      lines[41] += "," + fields[i];
    return rejection(lines);
  };
  EXPECT_THAT(with(0, "15625"), HasSubstr("t.csv:42: index is '15625', expected a whole number from 0 to 15624"));
  EXPECT_THAT(with(0, "-1"), HasSubstr("index is '-1'"));
  EXPECT_THAT(with(1, "|none~0|"), HasSubstr("t.csv:42: architecture '|none~0|': at character 9: expected '+'"));
  EXPECT_THAT(with(2, "100.1"), HasSubstr("t.csv:42: c10_test is '100.1', expected a number from 0 to 100"));
  EXPECT_THAT(with(3, "nan"), HasSubstr("c100_test is 'nan'"));
  EXPECT_THAT(with(4, ""), HasSubstr("im16_test is ''"));
  EXPECT_THAT(with(4, "12 "), HasSubstr("im16_test is '12 '"));
  EXPECT_THAT(with(5, "0.87"), HasSubstr("t.csv:42: params_c10 is '0.87', expected a whole number of at least 0"));
  EXPECT_THAT(with(6, "99999999999999999999"), HasSubstr("macs_c10 is"));
  EXPECT_THAT(with(6, "1,2"), HasSubstr("t.csv:42: 8 fields, expected 7"));
  EXPECT_THAT(with(1, "\"|none"), HasSubstr("t.csv:42: a quote is not closed"));
}

TEST_F(Nb201, FractionsAreNotTakenForPercentages) {
  for (std::size_t i = 1; i < lines_.size(); ++i) {
    const std::vector<std::string> f = fields_of(lines_[i]);
    lines_[i] = f[0] + "," + f[1] + ",0.9,0.7,0.4,1,1";
  }
  EXPECT_THAT(rejection(lines_), HasSubstr("expected per cent"));
}

TEST_F(Nb201, OtherFilesAreRefused) {
  EXPECT_THAT(rejection(""), HasSubstr("t.csv: is empty"));
  EXPECT_THAT(rejection("index,arch,accuracy\n"),
              AllOf(HasSubstr("t.csv:1: no column c10_test, c100_test, im16_test"), HasSubstr("index,arch,accuracy")));
  EXPECT_THAT(rejection("index,arch,c10_test,c100_test,im16_test,arch\n"), HasSubstr("'arch' is there twice"));
  EXPECT_THAT(rejection(std::string("\x7f"
                                    "ELF\x02\x01\x01\0\0\x1b",
                                    10)),
              HasSubstr("it is '?ELF"));
  const std::string packed = test::gzipped(test::joined(lines_));
  EXPECT_THAT(rejection(packed.substr(0, packed.size() / 2)), HasSubstr("the gzip stream ends in the middle"));
  EXPECT_THAT(rejection(packed + "x"), HasSubstr("1 bytes follow the gzip stream"));
  EXPECT_THROW((void)convert_nb201_csv(folder_ / "absent.csv", table()), MissingError);
}

TEST_F(Nb201, OnlyATableIsReplaced) {
  (void)convert(test::joined(lines_));
  const std::string first = slurp(table());
  lines_[1].back() = lines_[1].back() == '1' ? '2' : '1';
  (void)convert(test::joined(lines_));
  EXPECT_NE(slurp(table()), first);

  const std::string before = slurp(csv());
  EXPECT_THAT(message_of<ConfigError>([&] { (void)convert_nb201_csv(csv(), csv()); }),
              HasSubstr("is there and no NAS-Bench-201 table"));
  EXPECT_EQ(slurp(csv()), before);
  EXPECT_THROW((void)convert_nb201_csv(csv(), folder_.path()), ConfigError);
  EXPECT_THAT(message_of<DataError>([&] { (void)convert_nb201_csv(table(), folder_ / "again.dnas"); }),
              HasSubstr("is a table already"));
}

TEST_F(Nb201, EveryFlippedByteIsNoticed) {
  (void)convert(test::joined(lines_));
  const std::string good = slurp(table());
  for (std::size_t at = 0; at < good.size(); at += at < 1024 ? 1 : 9973) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    ASSERT_THAT(refusal(bad), HasSubstr("bad.dnas: ")) << at;
  }
  std::string bad = good;
  bad.back() = static_cast<char>(bad.back() ^ 0x10);
  EXPECT_THAT(refusal(bad), HasSubstr("damaged"));
}

TEST_F(Nb201, WhatIsNoTableIsRefusedWithTheReason) {
  (void)convert(test::joined(lines_));
  const std::string good = slurp(table());
  EXPECT_THAT(refusal(""), AllOf(HasSubstr("not a NAS-Bench-201 table"), HasSubstr("dnas query --convert")));
  EXPECT_THAT(refusal(slurp(csv())), HasSubstr("not a NAS-Bench-201 table"));
  EXPECT_THAT(refusal(good.substr(0, 20)), HasSubstr("cut short: 20 bytes"));
  EXPECT_THAT(refusal(good.substr(0, good.size() - 1)), HasSubstr("the file has " + std::to_string(good.size() - 1)));
  EXPECT_THAT(refusal(good + "x"), HasSubstr("the file has " + std::to_string(good.size() + 1)));
  std::string newer = good;
  newer[8] = 2;
  EXPECT_THAT(refusal(newer), HasSubstr("of version 2, this program reads version 1"));
  EXPECT_THROW((void)Nb201Table(folder_ / "absent.dnas"), MissingError);
  EXPECT_THROW((void)Nb201Table(folder_.path()), DataError);
}

// What another program might write: a layout that is not this one, under a good hash.
TEST_F(Nb201, WrongLayoutUnderAGoodHashIsRefused) {
  (void)convert(test::joined(lines_));
  const std::string good = slurp(table());
  const auto with = [&](std::size_t at, auto value) {
    std::string bad = good.substr(0, good.size() - 32);
    std::memcpy(bad.data() + at, &value, sizeof value);
    return refusal(bad + engine::hash_of(std::as_bytes(std::span(bad))));
  };
  constexpr std::size_t columns = 64;  // bytes of the header, and of the description of each column
  EXPECT_THAT(with(16, std::uint64_t{15'624}), HasSubstr("byte 16: 15624 rows"));
  EXPECT_THAT(with(12, std::uint32_t{0}), HasSubstr("the first column is not 'index'"));
  EXPECT_THAT(with(12, std::uint32_t{65}), HasSubstr("byte 12: 65 columns"));
  EXPECT_THAT(with(12, std::uint32_t{0xFFFFFFFF}), HasSubstr("byte 12: 4294967295 columns"));
  EXPECT_THAT(with(12, std::uint32_t{3}), HasSubstr("has no accuracies 'im16_test'"));
  EXPECT_THAT(with(columns, 'j'), HasSubstr("the first column is not 'index'"));
  EXPECT_THAT(with(2 * columns, '\0'), HasSubstr("byte 128: column 1 has no name"));
  EXPECT_THAT(with(2 * columns + 47, 'x'), HasSubstr("column 1 has no name"));
  EXPECT_THAT(with(2 * columns + 48, std::uint32_t{2}), HasSubstr("'c10_test' is of the unknown type 2"));
  EXPECT_THAT(with(2 * columns + 48, std::uint32_t{1}), HasSubstr("has no accuracies 'c10_test'"));
  for (const std::uint64_t offset : {std::uint64_t{good.size()} / 64 * 64, std::uint64_t{65}, ~std::uint64_t{63}})
    EXPECT_THAT(with(2 * columns + 56, offset), HasSubstr("'c10_test' would be at byte " + std::to_string(offset)));
  std::uint64_t index_offset = 0;
  std::memcpy(&index_offset, good.data() + columns + 56, sizeof index_offset);
  EXPECT_THAT(with(index_offset, std::int64_t{15'625}), HasSubstr("the index 15625 of code 0"));
  EXPECT_THAT(with(index_offset, std::int64_t{-1}), HasSubstr("the index -1 of code 0"));
  std::int64_t second = 0;
  std::memcpy(&second, good.data() + index_offset + 8, sizeof second);
  EXPECT_THAT(with(index_offset, second), HasSubstr("there twice"));
}

TEST_F(Nb201, UnknownColumnAndIndexNameTheChoices) {
  (void)convert(test::joined(lines_));
  const Nb201Table table(this->table());
  EXPECT_THAT(message_of<ConfigError>([&] { (void)table.column("c10_tset"); }),
              AllOf(HasSubstr("did you mean c10_test?"), HasSubstr("params_c10, macs_c10")));
  EXPECT_THAT(message_of<ConfigError>([&] { (void)table.code_of_index(15'625); }), HasSubstr("expected 0 to 15624"));
  EXPECT_THROW((void)table.code_of_index(-1), ConfigError);
}

TEST_F(Nb201, BenchmarkTellsASearchWhatItsArchitectureIsWorth) {
  (void)convert(test::joined(lines_));
  Nb201Benchmark first(table());
  const Nb201Benchmark benchmark = std::move(first);  // the columns go with the table
  const Nb201Scores scores = benchmark.scores(test::nb201_rows[1].arch);
  EXPECT_EQ(scores[0].dataset, "CIFAR-10");
  EXPECT_NEAR(scores[0].accuracy, 94.3633, 1e-5);
  EXPECT_NEAR(scores[0].best, 94.3733, 1e-5);
  EXPECT_EQ(scores[0].rank, 2);
  EXPECT_EQ(scores[1].dataset, "CIFAR-100");
  EXPECT_NEAR(scores[1].accuracy, 73.5133, 1e-5);
  EXPECT_EQ(scores[1].rank, 1);
  EXPECT_EQ(scores[2].dataset, "ImageNet16-120");
  EXPECT_NEAR(scores[2].best, 47.3111, 1e-5);
  EXPECT_EQ(to_text(scores),
            "CIFAR-10 94.36 (rank 2, best 94.37), CIFAR-100 73.51 (rank 1, best 73.51), "
            "ImageNet16-120 46.34 (rank 3, best 47.31)");
  EXPECT_THROW((void)benchmark.scores("|none~0|"), DataError);
  EXPECT_NEAR(benchmark.scores(parse_genotype(test::nb201_rows[4].arch))[1].accuracy, 15.6067, 1e-5);
  EXPECT_THROW((void)benchmark.scores(published_genotype("DARTS_V2")), DataError);
}

}  // namespace
}  // namespace dnas::search
