#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/kernels/optimizer_step.hpp"
#include "dnas/search/arch_optimizer.hpp"

#include <fmt/format.h>

namespace dnas::search::family::arch_optimizers {

namespace {

class Adam final : public ArchOptimizer {
 public:
  Adam(double beta1, double beta2) : beta1_(beta1), beta2_(beta2) {}

  [[nodiscard]] std::vector<State> state() override { return {{"adam.m", m_.f32()}, {"adam.v", v_.f32()}}; }

 protected:
  void do_prepare(std::size_t count) override {
    m_ = Buffer(count * sizeof(float));
    v_ = Buffer(count * sizeof(float));
  }

  void do_update(const Context& ctx, const Settings& settings, std::int64_t step, std::span<const float> gradient,
                 std::span<float> parameters) override {
    const kernels::AdamStep adam{.learning_rate = static_cast<float>(settings.learning_rate),
                                 .beta1 = static_cast<float>(beta1_),
                                 .beta2 = static_cast<float>(beta2_),
                                 .weight_decay = static_cast<float>(settings.weight_decay),
                                 .t = step};
    kernels::adam_step(ctx, adam, gradient, m_.f32(), v_.f32(), parameters);
  }

 private:
  double beta1_;
  double beta2_;
  Buffer m_;
  Buffer v_;
};

}  // namespace

void register_adam(Registry<Component<ArchOptimizer>>& registry) {
  registry.add({.name = "adam",
                .help = "Adam with coupled weight decay",
                .source = "Kingma and Ba 2015, arXiv:1412.6980; betas of Liu et al. 2019, arXiv:1806.09055",
                .defaults = {{"beta1", 0.5}, {"beta2", 0.999}},
                .make = [](const Options& options) -> std::unique_ptr<ArchOptimizer> {
                  for (const char* name : {"beta1", "beta2"}) {
                    const double beta = options.number(name);
                    if (!(beta >= 0.0 && beta < 1.0)) {
                      throw ConfigError(fmt::format("adam: {} is {}, expected 0 to less than 1", name, beta));
                    }
                  }
                  return std::make_unique<Adam>(options.number("beta1"), options.number("beta2"));
                }});
}

}  // namespace dnas::search::family::arch_optimizers
