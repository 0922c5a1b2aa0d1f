#pragma once

#include "dnas/search/edge_weighting.hpp"
#include "search/networks.hpp"
#include "search/relaxing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dnas::search::testing_edge_weightings {

/// An edge weighting on the normal cell of DARTS, with two columns behind those of the candidates.
class Edges {
 public:
  explicit Edges(const std::string& part)
      : weighting(make_part(edge_weightings(), PartChoice{part, {}})),
        group(testing_networks::make_space("darts")->choice_groups().front()),
        columns(static_cast<std::size_t>(group.columns()) + 2),
        weights(group.edges.size() * columns),
        mix(weights.size(), NAN),
        dmix(weights.size()),
        dweights(weights.size(), NAN),
        beta(group.edges.size(), 0.0F),
        dbeta(group.edges.size(), NAN) {}

  void randomise() {
    testing_relaxations::fill_normal(weights, 1, 1.0);
    testing_relaxations::fill_normal(dmix, 2, 1.0);
    testing_relaxations::fill_normal(beta, 3, 1.0);
  }

  [[nodiscard]] TensorView view(std::vector<float>& values) const {
    return {values.data(), Shape{group.rows(), static_cast<std::int64_t>(columns)}};
  }
  [[nodiscard]] TensorView beta_view() { return {beta.data(), Shape{group.rows()}}; }
  [[nodiscard]] TensorView dbeta_view() { return {dbeta.data(), Shape{group.rows()}}; }
  [[nodiscard]] std::vector<double> beta_in_double() const { return {beta.begin(), beta.end()}; }

  void forward() { weighting->forward(ctx, group, view(weights), beta_view(), view(mix)); }
  void backward() {
    weighting->backward(ctx, group, view(weights), beta_view(), view(dmix), view(dweights), dbeta_view());
  }

  /// exp(beta_e) over the sum of its node.
  [[nodiscard]] std::vector<double> softmax_shares(const std::vector<double>& at) const {
    std::map<int, double> totals;
    for (std::size_t e = 0; e < at.size(); ++e)
      totals[group.edges[e].to] += std::exp(at[e]);
    std::vector<double> shares;
    for (std::size_t e = 0; e < at.size(); ++e)
      shares.push_back(std::exp(at[e]) / totals[group.edges[e].to]);
    return shares;
  }

  /// The gradients of sum(dmix * share(beta) * weights).
  void expect_gradients(const std::function<std::vector<double>(const std::vector<double>&)>& shares) {
    backward();
    const std::vector<double> share = shares(beta_in_double());
    for (std::size_t i = 0; i < weights.size(); ++i)
      EXPECT_NEAR(dweights[i], share[i / columns] * dmix[i], 1e-6);
    const auto value = [&](const std::vector<double>& at) {
      const std::vector<double> s = shares(at);
      double sum = 0.0;
      for (std::size_t i = 0; i < weights.size(); ++i)
        sum += s[i / columns] * weights[i] * dmix[i];
      return sum;
    };
    for (std::size_t e = 0; e < beta.size(); ++e)
      EXPECT_NEAR(dbeta[e], testing_relaxations::difference(value, beta_in_double(), e), 1e-6) << "edge " << e;
  }

  /// The same gradients with dweights in the memory of dmix.
  void expect_in_place() {
    backward();
    const std::vector<float> expected = dweights;
    const std::vector<float> expected_beta = dbeta;
    std::ranges::fill(dbeta, NAN);
    weighting->backward(ctx, group, view(weights), beta_view(), view(dmix), view(dmix), dbeta_view());
    EXPECT_EQ(dmix, expected);
    EXPECT_EQ(dbeta, expected_beta);
  }

  std::unique_ptr<EdgeWeighting> weighting;
  ChoiceGroup group;
  std::size_t columns;
  std::vector<float> weights, mix, dmix, dweights, beta, dbeta;
  Context ctx = Context::cpu(1);
};

}  // namespace dnas::search::testing_edge_weightings
