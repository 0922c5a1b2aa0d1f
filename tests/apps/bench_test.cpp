#include "apps/dnas_command.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

namespace dnas::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::json;

const std::vector<std::string> size = {"--init_channels", "4", "--layers", "3", "--batch_size", "4"};

DnasCommand::Result run(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"bench", "--repeat", "3", "--warmup", "1"};
  arguments.insert(arguments.end(), size.begin(), size.end());
  arguments.insert(arguments.end(), more.begin(), more.end());
  return dnas(arguments);
}

Json bench(std::vector<std::string> more) {
  more.emplace_back("--json");
  const auto result = run(more);
  EXPECT_EQ(result.code, 0) << result.err;
  return Json::parse(result.out);
}

Json inspect(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"inspect", "--json"};
  arguments.insert(arguments.end(), size.begin(), size.end());
  arguments.insert(arguments.end(), more.begin(), more.end());
  return Json::parse(dnas(arguments).out);
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    result.push_back(line);
  return result;
}

TEST(Bench, MeasuresEveryStepAsOftenAsAsked) {
  const Json json = bench({"--dataset", "digits", "--step", "all"});
  std::vector<std::string> names;
  for (const Json& step : json.at("steps")) {
    names.push_back(step.at("step"));
    auto times = step.at("times_ms").get<std::vector<double>>();
    ASSERT_EQ(times.size(), 3U);
    std::sort(times.begin(), times.end());
    EXPECT_GT(times[0], 0.0);
    EXPECT_DOUBLE_EQ(step.at("min_ms"), times[0]);
    EXPECT_DOUBLE_EQ(step.at("median_ms"), times[1]);
    EXPECT_DOUBLE_EQ(step.at("max_ms"), times[2]);
    EXPECT_NEAR(step.at("images_per_second").get<double>() * times[1], 4 * 1e3, 1e-6);
  }
  EXPECT_THAT(names, ElementsAre("weights", "arch", "search"));
}

TEST(Bench, MedianOfAnEvenNumberIsTheMeanOfTheMiddleTwo) {
  const auto result = run({"--dataset", "digits", "--repeat", "4", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json step = Json::parse(result.out).at("steps").at(0);
  auto times = step.at("times_ms").get<std::vector<double>>();
  ASSERT_EQ(times.size(), 4U);
  std::sort(times.begin(), times.end());
  EXPECT_DOUBLE_EQ(step.at("median_ms"), 0.5 * (times[1] + times[2]));
}

// Other paths to the same numbers: what `inspect` counts and plans.
TEST(Bench, ArenaIsWhatInspectPlans) {
  const Json planned = inspect({"--image", "8x8x1"}).at("steps");
  const Json weights = bench({"--dataset", "digits", "--step", "weights"}).at("memory");
  EXPECT_EQ(weights.at("arena_bytes"), planned[0].at("arena_bytes"));
  EXPECT_GT(weights.at("peak_bytes"), weights.at("arena_bytes"));
  const Json both = bench({"--dataset", "digits", "--step", "search"}).at("memory");
  EXPECT_EQ(both.at("arena_bytes"), std::max(planned[0].at("arena_bytes"), planned[1].at("arena_bytes")));
}

TEST(Bench, ProfileCountsTheOperationsOfTheNetwork) {
  auto expected = inspect({"--image", "8x8x1"}).at("operations").get<std::map<std::string, int>>();
  // Inspect counts those of an evaluation, which normalises by running statistics.
  expected["batch_norm"] = expected.at("batch_norm_inference");
  expected.erase("batch_norm_inference");
  const Json step = bench({"--dataset", "digits", "--step", "weights", "--profile", "--no_fusion"}).at("steps").at(0);
  std::map<std::string, int> forward;
  double shares = 0.0;
  double ms = 0.0;
  int backward = 0;
  for (const Json& entry : step.at("profile")) {
    shares += entry.at("share").get<double>();
    ms += entry.at("ms").get<double>();
    if (entry.at("pass") == "forward") forward[entry.at("operation")] = entry.at("calls");
    if (entry.at("pass") == "backward") ++backward;
    if (entry.at("operation") == "depthwise_conv_backward_weight") {
      EXPECT_EQ(entry.at("pass"), "backward");
    }
  }
  EXPECT_EQ(forward.at("cross_entropy"), 1);
  forward.erase("cross_entropy");  // not of the network
  EXPECT_EQ(forward, expected);
  EXPECT_GT(backward, 8);
  EXPECT_NEAR(shares, 1.0, 1e-6);
  EXPECT_NEAR(ms, step.at("profiled_ms"), 1e-6);
}

TEST(Bench, ProfileNamesFusedNodes) {
  const Json step = bench({"--dataset", "digits", "--step", "weights", "--profile"}).at("steps").at(0);
  std::map<std::string, int> calls;
  for (const Json& entry : step.at("profile"))
    calls[entry.at("operation")] = entry.at("calls");
  EXPECT_EQ(calls.at("node_reduction"), 3 * 4);  // cells, nodes
  EXPECT_EQ(calls.at("node_reduction_backward"), 3 * 4);
  EXPECT_EQ(calls.at("separable_bundle"), calls.at("separable_bundle_backward"));
  EXPECT_FALSE(calls.contains("depthwise_conv"));
}

/// Forward passes of one architecture step.
int evaluations(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--dataset", "digits", "--step", "arch", "--profile"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Json json = bench(arguments);
  for (const Json& entry : json.at("steps").at(0).at("profile")) {
    if (entry.at("operation") == "cross_entropy") return entry.at("calls");
  }
  return 0;
}

// Liu et al. 2019, section 2.3: once on validation data; second order also at w and at w+, w- on training data.
TEST(Bench, ArchitectureStepEvaluatesWhatItsOrderNeeds) {
  EXPECT_EQ(evaluations({}), 1);
  EXPECT_EQ(evaluations({"--unrolled"}), 4);
  EXPECT_EQ(evaluations({"--method", "darts-v2"}), 4);
}

TEST(Bench, DataSetGivesTheSizeButNeedNotBeThere) {
  const Json digits = bench({"--dataset", "digits"}).at("network");
  EXPECT_EQ(digits.at("image"), Json({8, 8, 1}));
  EXPECT_EQ(digits.at("classes"), 10);
  const Json cifar = bench({"--dataset", "cifar100", "--image", "8x8x3"}).at("network");
  EXPECT_EQ(cifar.at("image"), Json({8, 8, 3}));
  EXPECT_EQ(cifar.at("classes"), 100);
  EXPECT_EQ(bench({"--dataset", "digits", "--classes", "3"}).at("network").at("classes"), 3);
}

TEST(Bench, SaysWhatItRanOn) {
  const Json json = bench({"--dataset", "digits", "--threads", "2"});
  EXPECT_EQ(json.at("machine").at("threads"), 2);
  EXPECT_GE(json.at("machine").at("processors"), 1);
  for (const char* name : {"cpu", "isa", "system"})
    EXPECT_FALSE(json.at("machine").at(name).get<std::string>().empty()) << name;
  for (const char* name : {"version", "compiler", "build_type"})
    EXPECT_FALSE(json.at("build").at(name).get<std::string>().empty()) << name;
}

TEST(Bench, TableAndCsvHaveALinePerStep) {
  const auto table = run({"--dataset", "digits", "--step", "all"});
  EXPECT_EQ(table.code, 0);
  EXPECT_THAT(table.out, StartsWith("supernet of space darts: 4 channels, 3 layers, 10 classes, batch 4 of 8x8x1"));
  for (const char* name : {"\nweights ", "\narch ", "\nsearch "})
    EXPECT_THAT(table.out, HasSubstr(name));

  const auto csv = lines(run({"--dataset", "digits", "--step", "all", "--format", "csv"}).out);
  ASSERT_EQ(csv.size(), 4U);
  EXPECT_EQ(csv[0], "step,repeat,median_ms,min_ms,max_ms,images_per_second,threads,arena_bytes,peak_bytes");
  for (const std::string& line : csv)
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), 8) << line;
  EXPECT_THAT(csv[2], StartsWith("arch,3,"));

  const auto profile = lines(run({"--dataset", "digits", "--profile", "--format", "csv"}).out);
  ASSERT_GT(profile.size(), 10U);
  EXPECT_EQ(profile[0], "step,pass,operation,calls,ms,share");
  for (const std::string& line : profile)
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), 5) << line;
}

TEST(Bench, WrongArgumentsHaveTheirExitCodes) {
  EXPECT_EQ(run({"--step", "both"}).code, 64);
  EXPECT_EQ(run({"--repeat", "0"}).code, 64);
  EXPECT_EQ(run({"--format", "xml"}).code, 64);
  EXPECT_EQ(run({"--format", "csv", "--json"}).code, 64);
  EXPECT_EQ(run({"--image", "32x32"}).code, 64);
  EXPECT_EQ(run({"--image", "31x31x3"}).code, 78) << "a reduction needs even extents";
  EXPECT_EQ(run({"--layers", "0"}).code, 78);
  EXPECT_EQ(run({"--dataset", "imagenet"}).code, 78);
}

}  // namespace
}  // namespace dnas::test
