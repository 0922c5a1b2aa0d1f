#include "apps/dnas_command.hpp"

#include "dnas/engine/dataset.hpp"
#include "dnas/search/genotype.hpp"
#include "dnas/search/method.hpp"
#include "dnas/search/relaxation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <sstream>

namespace dnas::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::json;

TEST(List, EverythingIsListed) {
  const auto result = dnas({"list"});
  EXPECT_EQ(result.code, 0) << result.err;
  for (const std::string& name : search::methods().names())
    EXPECT_THAT(result.out, HasSubstr("\n  " + name));
  for (const std::string& name : search::relaxations().names())
    EXPECT_THAT(result.out, HasSubstr("\n  " + name));
  for (const std::string& name : engine::datasets().names())
    EXPECT_THAT(result.out, HasSubstr("\n  " + name));
  for (const std::string& name : search::published_genotype_names())
    EXPECT_THAT(result.out, HasSubstr("\n  " + name));
}

TEST(List, JsonHasNameHelpAndSource) {
  const auto result = dnas({"list", "methods", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json list = Json::parse(result.out).at("methods");
  ASSERT_EQ(list.size(), search::methods().entries().size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    EXPECT_EQ(list[i].at("name"), search::methods().entries()[i].name);
    EXPECT_EQ(list[i].at("help"), search::methods().entries()[i].help);
    EXPECT_EQ(list[i].at("source"), search::methods().entries()[i].source);
  }
}

TEST(List, OptionsOfAPartAreListedWithTheirDefaults) {
  const auto result = dnas({"list", "bilevel", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json parts = Json::parse(result.out).at("bilevel");
  const auto unrolled =
      std::find_if(parts.begin(), parts.end(), [](const Json& part) { return part.at("name") == "unrolled"; });
  ASSERT_NE(unrolled, parts.end());
  EXPECT_EQ(unrolled->at("defaults").at("epsilon"), 0.01);
}

TEST(List, UnknownFamilySuggestsTheNearest) {
  const auto result = dnas({"list", "methosd"});
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.err, HasSubstr("did you mean methods?"));
}

TEST(List, UnknownMethodNamesTheChoices) {
  const auto result = dnas({"list", "--method", "darts-v9"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.err, HasSubstr("darts-v1"));
}

TEST(List, YamlOfAMethodNamesItsSourceAndExplainsEverySetting) {
  for (const search::Method& method : search::methods().entries()) {
    const auto result = dnas({"list", "--method", method.name, "--yaml"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out,
                StartsWith("# " + method.name + ": " + method.help + "\n# source: " + method.source + "\n"));
    for (const search::ConfigField& field : search::config_fields())
      EXPECT_THAT(result.out, HasSubstr("\n# " + field.help + "\n" + field.name + ": "));
    // Besides comments and empty lines there is one line for each setting.
    std::istringstream lines(result.out);
    std::size_t settings = 0;
    for (std::string line; std::getline(lines, line);)
      settings += line.empty() || line.front() == '#' ? 0 : 1;
    EXPECT_EQ(settings, search::config_fields().size());
  }
}

// Only the data set is changed, to one that needs no files.
TEST(List, YamlOfEveryMethodReadsBackAsItsDefaults) {
  const TempFolder folder;
  for (const search::Method& method : search::methods().entries()) {
    const auto yaml = dnas({"list", "--method", method.name, "--yaml"});
    ASSERT_EQ(yaml.code, 0) << yaml.err;
    spill(folder / "m.yaml", yaml.out);
    const auto read =
        dnas({"search", "--config", (folder / "m.yaml").string(), "--dataset", "digits", "--dry_run", "--json"});
    ASSERT_EQ(read.code, 0) << method.name << ": " << read.err;
    Json expected = Json::parse(search::to_json(method.defaults));
    expected["method"] = method.name;
    expected["dataset"] = "digits";
    EXPECT_EQ(Json::parse(read.out).at("config"), expected) << method.name;
  }
}

}  // namespace
}  // namespace dnas::test
