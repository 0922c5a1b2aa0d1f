#include "dnas/search/config.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/search/method.hpp"
#include "support/throws.hpp"

#include <set>

namespace dnas::search {
namespace {

using test::message_of;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using Value = Options::Value;

TEST(ParsePart, ReadsANameAlone) {
  const PartChoice choice = parse_part("  softmax ");
  EXPECT_EQ(choice.name, "softmax");
  EXPECT_THAT(choice.options, IsEmpty());
  EXPECT_THAT(parse_part("adam()").options, IsEmpty());
}

TEST(ParsePart, ReadsOptionsByWhatTheyLookLike) {
  const PartChoice choice = parse_part("part( rate = 1e-3, count=7 ,on=true, off = false, form=add)");
  EXPECT_EQ(choice.name, "part");
  EXPECT_THAT(choice.options,
              ElementsAre(Pair("rate", Value(1e-3)), Pair("count", Value(std::int64_t{7})), Pair("on", Value(true)),
                          Pair("off", Value(false)), Pair("form", Value(std::string("add")))));
}

TEST(ParsePart, NamesWhatIsWrong) {
  const auto error = [](std::string_view text) {
    const std::string message = message_of<ConfigError>([&] { (void)parse_part(text); });
    EXPECT_THAT(message, HasSubstr("name(option=value, ...)")) << text;
    return message;
  };
  EXPECT_THAT(error(""), HasSubstr("no name"));
  EXPECT_THAT(error("(a=1)"), HasSubstr("no name"));
  EXPECT_THAT(error("two words"), HasSubstr("not a name"));
  EXPECT_THAT(error("adam(beta1=0.5"), HasSubstr("parenthesis"));
  EXPECT_THAT(error("adam(beta1=0.5) x"), HasSubstr("parenthesis"));
  EXPECT_THAT(error("adam(0.5)"), HasSubstr("without '='"));
  EXPECT_THAT(error("adam(=0.5)"), HasSubstr("without a name"));
  EXPECT_THAT(error("adam(beta1=0.5, beta1=0.6)"), HasSubstr("'beta1' is given twice"));
}

TEST(ParseParts, SplitsAtCommasOutsideParentheses) {
  const std::vector<PartChoice> parts = parse_parts("cosine, stages(first=1, last=2),freeze");
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0].name, "cosine");
  EXPECT_EQ(parts[1].options.size(), 2U);
  EXPECT_EQ(parts[2].name, "freeze");
  EXPECT_THAT(parse_parts("  "), IsEmpty());
  EXPECT_THAT(message_of<ConfigError>([] { (void)parse_parts("cosine,,freeze"); }), HasSubstr("no name"));
}

TEST(SetField, ReadsTextByTheTypeOfTheField) {
  SearchConfig config;
  set_field(config, "layers", "5");
  set_field(config, "learning_rate", "1e-2");
  set_field(config, "momentum", "0");
  set_field(config, "augment", "off");
  set_field(config, "arch_optimizer", "adam(beta1=0.9)");
  EXPECT_EQ(config.layers, 5);
  EXPECT_EQ(config.learning_rate, 0.01);
  EXPECT_EQ(config.momentum, 0.0);
  EXPECT_FALSE(config.augment);
  EXPECT_EQ(config.arch_optimizer, "adam(beta1=0.9)");
}

TEST(SetField, NamesWhatDoesNotFit) {
  SearchConfig config;
  const auto error = [&](std::string_view name, std::string_view text) {
    return message_of<ConfigError>([&] { set_field(config, name, text); });
  };
  EXPECT_THAT(error("lerning_rate", "1"),
              AllOf(HasSubstr("'lerning_rate'"), HasSubstr("did you mean 'learning_rate'")));
  EXPECT_THAT(error("zzz", "1"), HasSubstr("'zzz'"));
  EXPECT_THAT(error("layers", "2.5"), AllOf(HasSubstr("layers: '2.5'"), HasSubstr("whole number")));
  EXPECT_THAT(error("layers", ""), HasSubstr("whole number"));
  EXPECT_THAT(error("layers", "99999999999999999999"), HasSubstr("whole number"));
  EXPECT_THAT(error("momentum", "much"), AllOf(HasSubstr("momentum: 'much'"), HasSubstr("a number")));
  EXPECT_THAT(error("momentum", "nan"), HasSubstr("a number"));
  EXPECT_THAT(error("learning_rate", "inf"), HasSubstr("a number"));
  EXPECT_THAT(error("augment", "maybe"), HasSubstr("true or false"));
  EXPECT_EQ(to_json(config), to_json(SearchConfig{}));
}

TEST(ConfigFields, HaveUniqueNamesAndHelp) {
  std::set<std::string> names;
  for (const ConfigField& field : config_fields()) {
    EXPECT_TRUE(names.insert(field.name).second) << field.name;
    EXPECT_FALSE(field.help.empty()) << field.name;
    EXPECT_FALSE(field.group.empty()) << field.name;
  }
}

// The defaults of the official train_search.py.
TEST(SearchConfig, HasTheOfficialDefaults) {
  const SearchConfig config;
  EXPECT_EQ(config.batch_size, 64);
  EXPECT_EQ(config.learning_rate, 0.025);
  EXPECT_EQ(config.learning_rate_min, 0.001);
  EXPECT_EQ(config.momentum, 0.9);
  EXPECT_EQ(config.weight_decay, 3e-4);
  EXPECT_EQ(config.epochs, 50);
  EXPECT_EQ(config.init_channels, 16);
  EXPECT_EQ(config.layers, 8);
  EXPECT_EQ(config.cutout_length, 16);
  EXPECT_EQ(config.seed, 2);
  EXPECT_EQ(config.grad_clip, 5.0);
  EXPECT_EQ(config.train_portion, 0.5);
  EXPECT_EQ(config.arch_learning_rate, 3e-4);
  EXPECT_EQ(config.arch_weight_decay, 1e-3);
  EXPECT_THAT(check(config), IsEmpty());
}

TEST(Check, FindsNothingWrongWithAnyMethod) {
  for (const Method& method : methods().entries())
    EXPECT_THAT(check(method.defaults), IsEmpty()) << method.name;
}

TEST(Check, ListsEveryProblem) {
  SearchConfig config;
  config.method = "darts-v3";
  config.space = "dart";
  config.arch_optimizer = "adam(beta3=1)";
  config.controllers = "cosine, cosin";
  config.dataset = "cifar";
  config.layers = 0;
  config.train_portion = 1.0;
  config.momentum = -0.5;
  config.learning_rate_min = 1.0;
  EXPECT_THAT(check(config), ElementsAre(AllOf(HasSubstr("method 'darts-v3'"), HasSubstr("did you mean 'darts-v")),
                                         AllOf(HasSubstr("space 'dart'"), HasSubstr("did you mean 'darts'")),
                                         AllOf(HasSubstr("adam"), HasSubstr("did you mean 'beta")),
                                         AllOf(HasSubstr("controller 'cosin'"), HasSubstr("did you mean 'cosine'")),
                                         AllOf(HasSubstr("data set 'cifar'"), HasSubstr("choices")),
                                         AllOf(HasSubstr("layers is 0"), HasSubstr("1 to 1000")),
                                         AllOf(HasSubstr("train_portion is 1"), HasSubstr("less than 1")),
                                         HasSubstr("momentum is -0.5"), HasSubstr("learning_rate_min is 1")));
}

TEST(Check, RefusesValuesOutsideTheirRange) {
  const std::vector<std::pair<const char*, const char*>> wrong{
      {"init_channels", "0"},      {"epochs", "0"},           {"batch_size", "0"},
      {"report_freq", "0"},        {"keep_checkpoints", "0"}, {"checkpoint_steps", "-1"},
      {"max_steps", "-1"},         {"threads", "-1"},         {"seed", "-1"},
      {"cutout_length", "0"},      {"train_portion", "0"},    {"label_smoothing", "1"},
      {"momentum", "1"},           {"learning_rate", "0"},    {"learning_rate_min", "-1"},
      {"weight_decay", "-1"},      {"grad_clip", "-1"},       {"arch_learning_rate", "-1"},
      {"arch_weight_decay", "-1"}, {"layers", "1001"}};
  for (const auto& [name, value] : wrong) {
    SearchConfig config;
    set_field(config, name, value);
    EXPECT_THAT(check(config), ::testing::Contains(HasSubstr(std::string(name) + " is " + value))) << name;
  }
}

TEST(SearchConfigJson, ComesBackAsItWas) {
  SearchConfig config;
  // Every field differs from its default.
  for (const ConfigField& field : config_fields()) {
    Value value = field.get(config);
    if (auto* flag = std::get_if<bool>(&value)) *flag = !*flag;
    if (auto* whole = std::get_if<std::int64_t>(&value)) *whole += 3;
    if (auto* number = std::get_if<double>(&value)) *number = *number / 3.0 + 0.1;
    if (auto* text = std::get_if<std::string>(&value)) *text += " \"quoted\" \\ \xC3\xA9";
    field.set(config, value);
  }
  const SearchConfig back = config_from_json(to_json(config));
  for (const ConfigField& field : config_fields()) {
    EXPECT_EQ(field.get(back), field.get(config)) << field.name;
    EXPECT_NE(field.get(back), field.get(SearchConfig{})) << field.name;
  }
}

TEST(SearchConfigJson, MissingFieldsHaveTheirDefaults) {
  const SearchConfig config = config_from_json(R"({"layers": 3, "momentum": 0})");
  EXPECT_EQ(config.layers, 3);
  EXPECT_EQ(config.momentum, 0.0);
  EXPECT_EQ(config.batch_size, 64);
}

TEST(SearchConfigJson, NamesWhatIsWrong) {
  const auto error = [](std::string_view json) { return message_of<DataError>([&] { (void)config_from_json(json); }); };
  EXPECT_THAT(error("{"), HasSubstr("not a JSON object"));
  EXPECT_THAT(error("[1]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(error(R"({"layer": 3})"), AllOf(HasSubstr("'layer'"), HasSubstr("did you mean 'layers'")));
  EXPECT_THAT(error(R"({"layers": 2.5})"), AllOf(HasSubstr("layers is 2.5"), HasSubstr("whole number")));
  EXPECT_THAT(error(R"({"augment": 1})"), AllOf(HasSubstr("augment is 1"), HasSubstr("true or false")));
  EXPECT_THAT(error(R"({"space": null})"), AllOf(HasSubstr("space is null"), HasSubstr("text")));
  EXPECT_THAT(error(R"({"layers": 18446744073709551615})"), HasSubstr("layers is 18446744073709551615"));
}

}  // namespace
}  // namespace dnas::search
