#include "dnas/search/architecture.hpp"

#include "dnas/kernels/error.hpp"
#include "search/networks.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace dnas::search {
namespace {

using namespace testing_networks;
using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::size_t rows = 14;
constexpr std::size_t columns = 8;
constexpr std::size_t entries = rows * columns;

struct Darts {
  std::unique_ptr<Space> space = make_space("darts");
  Architecture architecture{*space, make_part(relaxations(), PartChoice{"softmax", {}}),
                            make_part(edge_weightings(), PartChoice{"sum", {}})};
  Context ctx = Context::cpu(1);
};

std::vector<float> normal_values(unsigned seed, double scale, std::size_t count = entries) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0.0, scale);
  std::vector<float> values(count);
  std::ranges::generate(values, [&] { return static_cast<float>(normal(random)); });
  return values;
}

/// sum_i c_i softmax(alpha)_i, each edge on its own, in double.
double linear_loss(std::span<const double> alpha, std::span<const float> c) {
  double loss = 0.0;
  for (std::size_t first = 0; first < entries; first += columns) {
    double total = 0.0;
    double weighted = 0.0;
    for (std::size_t k = first; k < first + columns; ++k) {
      total += std::exp(alpha[k]);
      weighted += std::exp(alpha[k]) * static_cast<double>(c[k]);
    }
    loss += weighted / total;
  }
  return loss;
}

TEST(Architecture, HasOneAlphaPerEdgeAndCandidateOfEachCell) {
  Darts darts;
  const auto& tensors = darts.architecture.tensors();
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors[0].name, "alphas_normal");
  EXPECT_EQ(tensors[1].name, "alphas_reduce");
  for (const Architecture::Tensor& tensor : tensors) {
    EXPECT_EQ(tensor.values.shape, (Shape{rows, columns}));
    EXPECT_EQ(tensor.gradient.shape, (Shape{rows, columns}));
  }
  ASSERT_EQ(darts.architecture.mix().size(), 2U);
  EXPECT_EQ(darts.architecture.mix()[1].shape, (Shape{rows, columns}));
}

// 224 draws of N(0, 1): the mean of 1e-3 times them has a deviation of 6.7e-5, their deviation one of 4.7 %.
TEST(Architecture, StartsAsAThousandthOfNormalNoise) {
  Darts darts;
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    darts.architecture.initialise(seed);
    double sum = 0.0;
    double squares = 0.0;
    for (const Architecture::Tensor& tensor : darts.architecture.tensors()) {
      for (std::size_t i = 0; i < entries; ++i) {
        sum += tensor.values.f32()[i];
        squares += static_cast<double>(tensor.values.f32()[i]) * tensor.values.f32()[i];
      }
    }
    EXPECT_NEAR(sum / (2 * entries), 0.0, 4 * 6.7e-5);
    EXPECT_NEAR(std::sqrt(squares / (2 * entries)), 1e-3, 4 * 4.7e-5);
  }
}

TEST(Architecture, StartDependsOnTheSeedAlone) {
  Darts first;
  Darts second;
  const auto values = [](Darts& darts) {
    const auto all = darts.architecture.parameters();
    return std::vector<float>(all.begin(), all.end());
  };
  first.architecture.initialise(7);
  second.architecture.initialise(8);
  EXPECT_NE(values(first), values(second));
  second.architecture.initialise(7);
  EXPECT_EQ(values(first), values(second));
  const auto& tensors = first.architecture.tensors();
  EXPECT_NE(tensors[0].values.f32()[0], tensors[1].values.f32()[0]) << "groups have draws of their own";
}

TEST(Architecture, MixesByTheSoftmaxOfEachEdge) {
  Darts darts;
  const std::vector<float> alpha = normal_values(1, 2.0);
  std::ranges::copy(alpha, darts.architecture.tensors()[1].values.f32());
  darts.architecture.relax(darts.ctx, {});
  for (std::size_t i = 0; i < entries; ++i) {
    EXPECT_FLOAT_EQ(darts.architecture.mix()[0].f32()[i], 0.125F);  // zero alphas
    double total = 0.0;
    for (std::size_t k = i - i % columns; k < i - i % columns + columns; ++k)
      total += std::exp(static_cast<double>(alpha[k]));
    EXPECT_NEAR(darts.architecture.mix()[1].f32()[i], std::exp(static_cast<double>(alpha[i])) / total, 1e-6);
  }
}

TEST(Architecture, GradientMatchesDifferencesOfALinearLoss) {
  Darts darts;
  std::vector<std::vector<float>> c;
  std::vector<TensorView> dmix;
  for (unsigned g = 0; g < 2; ++g) {
    std::ranges::copy(normal_values(10 + g, 1.5), darts.architecture.tensors()[g].values.f32());
    c.push_back(normal_values(20 + g, 1.0));
  }
  for (std::vector<float>& values : c)
    dmix.emplace_back(values.data(), Shape{rows, columns});
  darts.architecture.relax(darts.ctx, {});
  std::ranges::fill(darts.architecture.gradient(), std::numeric_limits<float>::quiet_NaN());
  darts.architecture.backward(darts.ctx, dmix);
  for (std::size_t g = 0; g < 2; ++g) {
    const Architecture::Tensor& tensor = darts.architecture.tensors()[g];
    std::vector<double> alpha(tensor.values.f32(), tensor.values.f32() + entries);
    for (std::size_t i = 0; i < entries; ++i) {
      const double middle = alpha[i];
      const double step = 1e-5;
      alpha[i] = middle + step;
      const double above = linear_loss(alpha, c[g]);
      alpha[i] = middle - step;
      const double below = linear_loss(alpha, c[g]);
      alpha[i] = middle;
      EXPECT_NEAR(tensor.gradient.f32()[i], (above - below) / (2 * step), 2e-6) << tensor.name << " " << i;
    }
  }
}

TEST(Architecture, GroupWithoutGradientGetsZero) {
  Darts darts;
  darts.architecture.initialise(1);
  darts.architecture.relax(darts.ctx, {});
  std::vector<float> c = normal_values(3, 1.0);
  std::ranges::fill(darts.architecture.gradient(), std::numeric_limits<float>::quiet_NaN());
  darts.architecture.backward(darts.ctx, std::vector{TensorView{}, TensorView(c.data(), Shape{rows, columns})});
  const auto& tensors = darts.architecture.tensors();
  EXPECT_TRUE(std::all_of(tensors[0].gradient.f32(), tensors[0].gradient.f32() + entries,
                          [](float value) { return value == 0.0F; }));
  EXPECT_NE(tensors[1].gradient.f32()[0], 0.0F);
}

TEST(Architecture, WantsOneGradientPerGroup) {
  Darts darts;
  EXPECT_THAT(message_of<ShapeError>([&] { darts.architecture.backward(darts.ctx, std::vector{TensorView{}}); }),
              AllOf(HasSubstr("architecture: 1 gradients"), HasSubstr("(2)")));
}

}  // namespace
}  // namespace dnas::search
