#include "dnas/search/component.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/candidate.hpp"
#include "dnas/search/discretisation.hpp"
#include "dnas/search/edge_weighting.hpp"
#include "dnas/search/relaxation.hpp"
#include "dnas/search/space.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace dnas::search {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Options example() {
  return {{"lr", 0.025}, {"steps", std::int64_t{7}}, {"shuffle", true}, {"form", std::string("add")}};
}

template <typename Action>
std::string config_error(Action action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no ConfigError";
}

TEST(Options, AreReadByTheirTypes) {
  const Options options = example();
  EXPECT_EQ(options.number("lr"), 0.025);
  EXPECT_EQ(options.integer("steps"), 7);
  EXPECT_TRUE(options.flag("shuffle"));
  EXPECT_EQ(options.text("form"), "add");
}

TEST(Options, AnIntegerServesAsANumber) {
  EXPECT_EQ(example().number("steps"), 7.0);
}

TEST(Options, ReadingAnotherTypeOrNameIsRefused) {
  EXPECT_THAT(config_error([] { (void)example().integer("lr"); }),
              AllOf(HasSubstr("'lr'"), HasSubstr("a whole number")));
  EXPECT_THAT(config_error([] { (void)example().flag("form"); }), HasSubstr("'form' is text"));
  EXPECT_THAT(config_error([] { (void)example().text("shuffle"); }), HasSubstr("'shuffle' is true or false"));
  EXPECT_THAT(config_error([] { (void)example().number("shuffle"); }), HasSubstr("a number"));
  EXPECT_THAT(config_error([] { (void)example().number("tau"); }), HasSubstr("'tau'"));
}

TEST(Options, SettingKeepsTheTypeAndTheOrder) {
  Options options = example();
  options.set("part", "lr", std::int64_t{1});
  options.set("part", "steps", std::int64_t{9});
  EXPECT_EQ(std::get<double>(options.values()[0].second), 1.0);
  EXPECT_EQ(options.integer("steps"), 9);
  EXPECT_EQ(options.values()[3].first, "form");
}

TEST(Options, SettingAnUnknownNameSuggestsTheNearest) {
  Options options = example();
  EXPECT_THAT(config_error([&] { options.set("transform partial", "shufle", false); }),
              AllOf(HasSubstr("transform partial"), HasSubstr("'shufle'"), HasSubstr("did you mean 'shuffle'"),
                    HasSubstr("lr, steps, shuffle, form")));
  EXPECT_THAT(config_error([] { Options().set("x y", "z", true); }), HasSubstr("no options"));
}

TEST(Options, SettingAnotherTypeIsRefusedAndChangesNothing) {
  Options options = example();
  EXPECT_THAT(config_error([&] { options.set("part", "steps", 1.5); }),
              AllOf(HasSubstr("part: option 'steps'"), HasSubstr("a whole number")));
  EXPECT_THAT(config_error([&] { options.set("part", "shuffle", std::int64_t{1}); }), HasSubstr("true or false"));
  EXPECT_EQ(options.integer("steps"), 7);
}

TEST(Parts, AreListedInAlphabeticalOrder) {
  EXPECT_THAT(candidates().names(),
              ElementsAre("avg_pool_3x3", "conv_7x1_1x7", "dil_conv_3x3", "dil_conv_5x5", "max_pool_3x3", "none",
                          "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "skip_connect"));
  EXPECT_THAT(spaces().names(), testing::IsSupersetOf({"darts", "darts7"}));
  EXPECT_THAT(relaxations().names(), testing::Contains("softmax"));
  EXPECT_THAT(edge_weightings().names(), testing::Contains("sum"));
  EXPECT_THAT(discretisations().names(), testing::Contains("top2"));
}

template <typename Part>
void expect_complete(const Registry<Component<Part>>& registry) {
  for (const Component<Part>& component : registry.entries()) {
    SCOPED_TRACE(registry.family() + " " + component.name);
    EXPECT_FALSE(component.help.empty());
    EXPECT_EQ(component.help.find('\n'), std::string::npos);
    EXPECT_FALSE(component.source.empty());
    EXPECT_NE(make_part(registry, {.name = component.name, .options = {}}), nullptr);
  }
}

TEST(Parts, AreDocumentedAndCanBeMade) {
  expect_complete(candidates());
  expect_complete(spaces());
  expect_complete(relaxations());
  expect_complete(edge_weightings());
  expect_complete(discretisations());
}

TEST(Parts, AnUnknownNameOrOptionIsRefused) {
  EXPECT_THAT(config_error([] { (void)make_part(relaxations(), {.name = "sofmax", .options = {}}); }),
              AllOf(HasSubstr("sofmax"), HasSubstr("softmax")));
  EXPECT_THAT(config_error([] {
                (void)make_part(relaxations(), {.name = "softmax", .options = {{"tau", 1.0}}});
              }),
              AllOf(HasSubstr("relaxation softmax"), HasSubstr("'tau'")));
}

}  // namespace
}  // namespace dnas::search
