#include "dnas/kernels/error.hpp"
#include "dnas/search/relaxation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace dnas::search::family::relaxations {
namespace {

/// weights = alpha: alpha is itself a distribution on each edge, uniform at first. After an update every entry is
/// raised to `floor` at least, since an exponentiated gradient never leaves 0 again, and the row is divided by its sum.
///
/// A candidate that is taken away leaves the others as they are until the next update divides by their sum.
class Simplex final : public Relaxation {
 public:
  explicit Simplex(double floor) : floor_(static_cast<float>(floor)) {}

  [[nodiscard]] Start start(std::int64_t candidates) const override {
    return {.mean = 1.0 / static_cast<double>(candidates), .deviation = 0.0};
  }

 protected:
  void do_forward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& weights) const override {
    std::copy_n(in.alpha.f32(), weights.elements(), weights.f32());
  }
  void do_backward(const Context& /*ctx*/, const RelaxationInput& /*in*/, const TensorView& /*weights*/,
                   const TensorView& dweights, const TensorView& dalpha) const override {
    std::copy_n(dweights.f32(), dalpha.elements(), dalpha.f32());
  }

  void do_updated(const RelaxationInput& before, const TensorView& alpha) const override {
    const std::int64_t columns = alpha.shape[1];
    for (std::int64_t first = 0; first < alpha.elements(); first += columns) {
      double sum = 0.0;
      const auto each_present = [&](auto&& action) {
        for (std::int64_t i = first; i < first + columns; ++i) {
          if (before.alpha.f32()[i] != -std::numeric_limits<float>::infinity()) action(alpha.f32()[i]);
        }
      };
      each_present([&](float& value) { sum += value = std::max(value, floor_); });
      each_present([&](float& value) { value = static_cast<float>(value / sum); });
    }
  }

 private:
  float floor_;
};

}  // namespace

void register_simplex(Registry<Component<Relaxation>>& registry) {
  registry.add({.name = "simplex",
                .help = "alpha is a distribution itself; for the exponentiated gradient",
                .source = "Li et al. 2021 (GAEA), arXiv:2004.07802",
                .defaults = {{"floor", 1e-5}},
                .make = [](const Options& options) {
                  const double floor = options.number("floor");
                  if (!(floor > 0.0 && floor < 0.01))
                    throw ConfigError(fmt::format("simplex: floor is {}, expected more than 0, less than 0.01", floor));
                  return std::make_unique<Simplex>(floor);
                }});
}

}  // namespace dnas::search::family::relaxations
