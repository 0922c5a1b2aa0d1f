#include "apps/dnas_command.hpp"

#include "dnas/search/genotype.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dnas::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Json inspect(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "inspect");
  arguments.emplace_back("--json");
  const auto result = dnas(arguments);
  EXPECT_EQ(result.code, 0) << result.err;
  return Json::parse(result.out);
}

// The official search prints "param size = 1.930618MB" for C = 16, 8 layers, CIFAR-10.
TEST(Inspect, SupernetHasTheOfficialParameterCount) {
  const auto result = dnas({"inspect"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("parameters 1,930,618\n"));
  EXPECT_THAT(result.out, HasSubstr("normal: 14 edges x 8 candidates, output of states 2, 3, 4, 5\n"));
}

// The official evaluation prints "param size = 3.349342MB" for DARTS_V2 with C = 36, 20 layers.
TEST(Inspect, DerivedNetworkHasTheOfficialParameterCount) {
  const auto result = dnas({"inspect", "--genotype", "DARTS_V2", "--auxiliary"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("parameters 3,349,342\n"));
  const Json json = inspect({"--genotype", "DARTS_V2"});
  EXPECT_EQ(json.at("parameters"), 3349342);
  EXPECT_EQ(json.at("auxiliary_parameters"), 0);
  EXPECT_EQ(json.at("size").at("batch_size"), 96);
}

TEST(Inspect, StepsAreplannedSeparately) {
  const Json json = inspect({"--init_channels", "4", "--layers", "3", "--batch_size", "8"});
  const Json& steps = json.at("steps");
  ASSERT_EQ(steps.size(), 3U);
  for (const Json& step : steps) {
    EXPECT_GT(step.at("arena_bytes"), 0);
    EXPECT_GE(step.at("arena_bytes"), step.at("live_bytes"));
  }
  // An evaluation keeps nothing for a backward pass, and an architecture step computes no weight gradients.
  EXPECT_LT(steps[2].at("arena_bytes"), steps[0].at("arena_bytes"));
  EXPECT_NE(steps[0].at("nodes"), steps[1].at("nodes"));
}

TEST(Inspect, SizesAreTakenFromFlagsAndFiles) {
  const TempFolder folder;
  spill(folder / "c.yaml", "init_channels: 4\nlayers: 3\nbatch_size: 8\n");
  const Json by_file = inspect({"--config", (folder / "c.yaml").string(), "--image", "8x8x1"});
  const Json by_flags = inspect({"--init_channels", "4", "--layers", "3", "--batch_size", "8", "--image", "8x8x1"});
  EXPECT_EQ(by_file, by_flags);
  EXPECT_NE(by_flags.at("parameters"),
            inspect({"--init_channels", "4", "--layers", "3", "--batch_size", "8"}).at("parameters"))
      << "one input channel has fewer weights than three";
}

TEST(Inspect, MultiplyAddsGrowWithThePixels) {
  const std::vector<std::string> size = {"--init_channels", "4", "--layers", "3", "--batch_size", "2"};
  auto small = size;
  small.insert(small.end(), {"--image", "16x16x3"});
  const auto of = [](const std::vector<std::string>& arguments) {
    return inspect(arguments).at("multiply_adds").get<double>();
  };
  // Four times the pixels: four times the work, but for the classifier.
  EXPECT_NEAR(of(size) / of(small), 4.0, 0.01);
}

TEST(Inspect, GenotypeMayBeNameFileOrText) {
  const search::Genotype genotype = search::published_genotype("DARTS_V1");
  const TempFolder folder;
  spill(folder / "g.txt", "genotype = " + search::to_text(genotype) + "\n");
  spill(folder / "g.json", search::to_json(genotype));
  const std::vector<std::string> size = {"--init_channels", "4", "--layers", "3"};
  const auto with = [&](const std::string& what) {
    std::vector<std::string> arguments = {"--genotype", what};
    arguments.insert(arguments.end(), size.begin(), size.end());
    return inspect(arguments);
  };
  const Json by_name = with("DARTS_V1");
  EXPECT_EQ(with((folder / "g.txt").string()), by_name);
  EXPECT_EQ(with((folder / "g.json").string()), by_name);
  EXPECT_EQ(with(search::to_text(genotype)), by_name);
}

TEST(Inspect, WrongInputsHaveTheirExitCodes) {
  EXPECT_EQ(dnas({"inspect", "--genotype", "Genotype(normal=[('sep_conv_3x3', 9)])"}).code, 65);
  const auto missing = dnas({"inspect", "--genotype", "DARTS_V9"});
  EXPECT_EQ(missing.code, 66);
  EXPECT_THAT(missing.err, HasSubstr("DARTS_V2"));
  EXPECT_EQ(dnas({"inspect", "--image", "32x32"}).code, 64);
  EXPECT_EQ(dnas({"inspect", "--auxiliary"}).code, 64);
  EXPECT_EQ(dnas({"inspect", "--image", "31x31x3"}).code, 78) << "a reduction needs even extents";
  EXPECT_EQ(dnas({"inspect", "--layers", "0"}).code, 78);
  EXPECT_EQ(dnas({"inspect", "--classes", "0"}).code, 78);
}

}  // namespace
}  // namespace dnas::test
