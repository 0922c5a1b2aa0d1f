#include "core/weight_ball.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace dnas::search {

WeightBall::WeightBall(std::string_view part, const Options& options)
    : first_(options.number("first")), last_(options.number("last")) {
  for (const double radius : {first_, last_}) {
    if (!(radius >= 0.0 && radius <= 1.0))
      throw ConfigError(fmt::format("{}: first is {} and last {}, expected 0 to 1", part, first_, last_));
  }
}

double WeightBall::radius(const LossTerm::Moment& moment) const {
  return first_ + (last_ - first_) * static_cast<double>(moment.epoch) / static_cast<double>(moment.epochs);
}

std::vector<float> uniform_delta(std::int64_t entries, double radius, const Philox& noise, std::size_t group) {
  std::vector<float> delta(static_cast<std::size_t>(entries));
  for (std::size_t i = 0; i < delta.size(); ++i) {
    const std::uint64_t element = (static_cast<std::uint64_t>(group) << 32) + i;
    delta[i] = static_cast<float>(radius * (2.0 * static_cast<double>(noise.uniform(element)) - 1.0));
  }
  return delta;
}

void add_and_project(const TensorView& weights, std::span<const float> delta) {
  const std::int64_t columns = weights.shape[1];
  std::vector<float> row(static_cast<std::size_t>(columns));
  for (std::int64_t first = 0; first < weights.elements(); first += columns) {
    float* values = weights.f32() + first;
    float sum = 0.0F;
    for (std::size_t k = 0; k < row.size(); ++k) {
      const float moved = values[k] == 0.0F ? 0.0F : values[k] + delta[static_cast<std::size_t>(first) + k];
      row[k] = std::clamp(moved, 0.0F, 1.0F);
      sum += row[k];
    }
    if (sum <= 0.0F) continue;
    std::ranges::transform(row, values, [&](float w) { return w / sum; });
  }
}

}  // namespace dnas::search
