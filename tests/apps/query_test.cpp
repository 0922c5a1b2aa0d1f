#include "apps/dnas_command.hpp"
#include "support/nb201_csv.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dnas::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::json;

/// A table of all architectures, made by the command itself, once for all tests.
class Query : public ::testing::Test {
 protected:
  static const std::string& table() {
    static const TempFolder folder;
    static const std::string file = [] {
      spill(folder / "t.csv", joined(nb201_csv_lines()));
      std::string out = (folder / "t.dnas").string();
      const auto result = dnas({"query", "--convert", (folder / "t.csv").string(), "--out", out});
      if (result.code != 0) throw std::runtime_error(result.err);
      return out;
    }();
    return file;
  }

  static DnasCommand::Result query(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"query", "--table", table()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return dnas(arguments);
  }

  static Json query_json(std::vector<std::string> more) {
    more.emplace_back("--json");
    const auto result = query(std::move(more));
    EXPECT_EQ(result.code, 0) << result.err;
    return Json::parse(result.out);
  }

  TempFolder folder_;
};

// Index, architecture and figures of the benchmark itself.
TEST_F(Query, ArchitectureIsFoundByTextAndByIndex) {
  for (const Nb201Row& row : nb201_rows) {
    const Json by_text = query_json({row.arch});
    EXPECT_EQ(by_text, query_json({"--index", std::to_string(row.index)}));
    EXPECT_EQ(by_text.at("index"), row.index);
    EXPECT_EQ(by_text.at("arch"), row.arch);
    const Json& values = by_text.at("values");
    const Json expected = Json::parse("[" + std::string(row.accuracies) + "," + row.counts + "]");
    EXPECT_EQ(Json({values.at("c10_test"), values.at("c100_test"), values.at("im16_test"), values.at("params_c10"),
                    values.at("macs_c10")}),
              expected)
        << "the decimal numbers of the CSV file, not what is left of them in a float";
  }
  EXPECT_EQ(query_json({"--index", "857"}).at("ranks").at("im16_test"), 1);
  EXPECT_EQ(query_json({"--index", "857"}).at("ranks").at("c10_test"), 3);
}

// JSON as a search writes it, text as the benchmark does.
TEST_F(Query, ArchitectureIsFoundByGenotype) {
  spill(folder_ / "genotype.json", R"({"schema": 2, "cells": [{"name": "cell", "inputs": 1, "edges": [
      {"op": "skip_connect", "from": 0, "to": 1},
      {"op": "skip_connect", "from": 0, "to": 2}, {"op": "skip_connect", "from": 1, "to": 2},
      {"op": "skip_connect", "from": 0, "to": 3}, {"op": "skip_connect", "from": 1, "to": 3},
      {"op": "skip_connect", "from": 2, "to": 3}], "concat": [3]}]})");
  spill(folder_ / "genotype.txt", std::string(nb201_rows[4].arch) + "\n");
  for (const char* const name : {"genotype.json", "genotype.txt"})
    EXPECT_EQ(query_json({"--genotype", (folder_ / name).string()}).at("index"), 1835) << name;

  const auto darts = query({"--genotype", "DARTS_V2"});
  EXPECT_EQ(darts.code, 65);
  EXPECT_THAT(darts.err, HasSubstr("not of the space of NAS-Bench-201"));
  EXPECT_EQ(query({"--genotype", "absent.json"}).code, 66);
}

TEST_F(Query, TableOfOneArchitectureIsAligned) {
  const auto result = query({"--index", "1835"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out,
            "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|\n"
            "index 1835, code 3906\n"
            "  c10_test        54.30  rank 6,233 of 15,625\n"
            "  c100_test       15.61  rank 11,723 of 15,625\n"
            "  im16_test       16.32  rank 7,465 of 15,625\n"
            "  params_c10     73,306  rank 1 of 15,625\n"
            "  macs_c10    7,783,050  rank 1 of 15,625\n");
}

TEST_F(Query, BestOfAColumn) {
  const auto result = query({"--best", "c100_test", "--top", "3"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out,
            "index  c100_test  c10_test  im16_test  arch\n"
            " 9930      73.51     94.36      46.34  " +
                std::string(nb201_rows[1].arch) + "\n" + " 6111      73.22     94.37      46.71  " +
                nb201_rows[0].arch + "\n" + "  857      72.88     93.99      47.31  " + nb201_rows[2].arch + "\n");
  const Json json = query_json({"--best", "params_c10"});
  EXPECT_EQ(json.at("column"), "params_c10");
  ASSERT_EQ(json.at("best").size(), 1U);
  EXPECT_EQ(json.at("best")[0].at("index"), 1835) << "the fewest";
  EXPECT_EQ(query_json({"--best", "im16_test", "--top", "15625"}).at("best").size(), 15'625U);
}

TEST_F(Query, ConversionSaysWhatItTookAndWhatItIgnored) {
  std::vector<std::string> lines = nb201_csv_lines();
  lines[0] += ",note";
  for (std::size_t i = 1; i < lines.size(); ++i)
    lines[i] += ",x";
  spill(folder_ / "n.csv", joined(lines));
  const std::string out = (folder_ / "n.dnas").string();
  const auto result = dnas({"query", "--convert", (folder_ / "n.csv").string(), "--out", out, "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json.at("ignored"), Json({"note"}));
  EXPECT_EQ(json.at("columns"), Json({"c10_test", "c100_test", "im16_test", "params_c10", "macs_c10"}));
  EXPECT_EQ(json.at("bytes"), std::filesystem::file_size(out));
  EXPECT_THAT(result.err, HasSubstr("columns ignored: note"));
  EXPECT_EQ(slurp(out), slurp(table()));
}

TEST_F(Query, ExitCodesAreThoseOfTheOtherVerbs) {
  EXPECT_EQ(query({"|none~0|"}).code, 65);
  EXPECT_EQ(query({"--index", "15625"}).code, 78);
  EXPECT_EQ(query({"--index", "-1"}).code, 78);
  EXPECT_EQ(query({"--best", "c10_tset"}).code, 78);
  EXPECT_EQ(dnas({"query", "--table", "absent.dnas", "--index", "1"}).code, 66);
  spill(folder_ / "cut.dnas", std::string_view(slurp(table())).substr(0, 1000));
  const auto cut = dnas({"query", "--table", (folder_ / "cut.dnas").string(), "--index", "1"});
  EXPECT_EQ(cut.code, 65);
  EXPECT_THAT(cut.err, StartsWith("dnas query: "));

  spill(folder_ / "c.csv", "index,arch\n");
  const std::string csv = (folder_ / "c.csv").string();
  EXPECT_EQ(dnas({"query", "--convert", csv, "--out", (folder_ / "c.dnas").string()}).code, 65);
  EXPECT_EQ(dnas({"query", "--convert", csv, "--out", csv}).code, 78);
  EXPECT_EQ(slurp(csv), "index,arch\n");
  EXPECT_EQ(dnas({"query", "--convert", "absent.csv", "--out", (folder_ / "c.dnas").string()}).code, 66);
}

TEST_F(Query, DiskFullLeavesNoTable) {
  spill(folder_ / "t.csv", joined(nb201_csv_lines()));
  DnasCommand::Options options;
  options.file_limit = 100'000;
  DnasCommand command({"query", "--convert", (folder_ / "t.csv").string(), "--out", (folder_ / "t.dnas").string()},
                      options);
  EXPECT_EQ(command.wait().code, 74);
  EXPECT_EQ(entries(folder_.path()), std::vector<std::string>{"t.csv"});
}

TEST_F(Query, FlagsThatDoNotGoTogetherAreUsageErrors) {
  const auto expect_usage = [](std::vector<std::string> arguments, const std::string& message) {
    arguments.insert(arguments.begin(), "query");
    const auto result = dnas(arguments);
    EXPECT_EQ(result.code, 64) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  expect_usage({}, "--table FILE is missing");
  expect_usage({"--index", "1"}, "--table FILE is missing");
  expect_usage({"--table", "t"}, "expected one of");
  expect_usage({"--table", "t", "--index", "1", "--best", "c10_test"}, "expected one of");
  expect_usage({"--table", "t", "|a", "--index", "1"}, "expected one of");
  expect_usage({"--table", "t", "|a", "|b"}, "unexpected argument '|b'");
  expect_usage({"--table", "t", "--index", "x"}, "--index");
  expect_usage({"--table", "t", "--index", "1", "--top", "2"}, "--top needs --best");
  expect_usage({"--table", "t", "--best", "c10_test", "--top", "0"}, "--top is 0, expected 1 to 15625");
  expect_usage({"--convert", "c"}, "--convert needs --out");
  expect_usage({"--out", "t"}, "--out needs --convert");
  expect_usage({"--convert", "c", "--out", "t", "--index", "1"}, "in a second command");
  expect_usage({"--convert", "c", "--out", "t", "--table", "t"}, "give one");
}

}  // namespace
}  // namespace dnas::test
