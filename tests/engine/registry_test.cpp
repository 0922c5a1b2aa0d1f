#include "dnas/engine/registry.hpp"

#include "dnas/kernels/error.hpp"
#include "support/throws.hpp"

#include <string>
#include <vector>

namespace dnas {
namespace {

using test::message_of;
using ::testing::HasSubstr;
using ::testing::Not;

struct Member {
  std::string name;
  int value = 0;
};

Registry<Member> sample() {
  Registry<Member> registry("relaxation");
  registry.add({"softmax", 1});
  registry.add({"sigmoid", 2});
  registry.add({"gumbel_hard", 3});
  return registry;
}

TEST(NearestMatch, FindsSlipsOfTheKeyboard) {
  const std::vector<std::string> names{"darts", "pc_darts", "gdas", "fair_darts", "random"};
  EXPECT_EQ(nearest_match("drats", names), "darts");        // neighbours swapped
  EXPECT_EQ(nearest_match("dart", names), "darts");         // one missing
  EXPECT_EQ(nearest_match("dartss", names), "darts");       // one too many
  EXPECT_EQ(nearest_match("darys", names), "darts");        // one wrong
  EXPECT_EQ(nearest_match("PC-Darts", names), "pc_darts");  // only case and dash differ
  EXPECT_EQ(nearest_match("radnom", names), "random");
}

TEST(NearestMatch, OffersNothingForAnotherWord) {
  const std::vector<std::string> names{"darts", "sgd", "a"};
  EXPECT_EQ(nearest_match("resnet", names), "");
  EXPECT_EQ(nearest_match("adam", names), "");
  EXPECT_EQ(nearest_match("b", names), "");
  EXPECT_EQ(nearest_match("", names), "");
  EXPECT_EQ(nearest_match("darts", {}), "");
  EXPECT_EQ(nearest_match(std::string(1'000'000, 'x'), names), "");
}

TEST(NearestMatch, PrefersTheCloserAndThenTheFirst) {
  const std::vector<std::string> names{"cifar100", "cifar10"};
  EXPECT_EQ(nearest_match("cifr10", names), "cifar10");
  EXPECT_EQ(nearest_match("cifar1000", names), "cifar100");
  EXPECT_EQ(nearest_match("mnixt", std::vector<std::string>{"mnizt", "mnist"}), "mnizt");
}

TEST(Registry, FindsMembersByName) {
  const Registry<Member> registry = sample();
  EXPECT_EQ(registry.at("sigmoid").value, 2);
  EXPECT_EQ(registry.find("nothing"), nullptr);
  EXPECT_EQ(registry.names(), (std::vector<std::string>{"softmax", "sigmoid", "gumbel_hard"}));
}

TEST(Registry, UnknownNameListsChoicesAndTheNearest) {
  const Registry<Member> registry = sample();
  const std::string message = message_of<ConfigError>([&] { (void)registry.at("sofmax"); });
  EXPECT_THAT(message, HasSubstr("unknown relaxation 'sofmax'"));
  EXPECT_THAT(message, HasSubstr("did you mean 'softmax'?"));
  EXPECT_THAT(message, HasSubstr("softmax, sigmoid, gumbel_hard"));
  EXPECT_THAT(message_of<ConfigError>([&] { (void)registry.at("dirichlet"); }), Not(HasSubstr("did you mean")));
}

TEST(Registry, RefusesANameTwice) {
  Registry<Member> registry = sample();
  EXPECT_THAT(message_of<Error>([&] { registry.add({"softmax", 9}); }), HasSubstr("relaxation 'softmax'"));
  EXPECT_EQ(registry.entries().size(), 3U);
}

}  // namespace
}  // namespace dnas
