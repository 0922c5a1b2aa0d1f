#include "dnas/kernels/noise.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/check.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace dnas::engine {

namespace {

/// (x, random) -> y
class GaussianNoiseOp final : public Op {
 public:
  GaussianNoiseOp(float factor, std::int64_t site) : factor_(factor), site_(site) {}

  [[nodiscard]] std::string_view kind() const override { return "gaussian_noise"; }
  [[nodiscard]] std::string key() const override { return fmt::format("gaussian_noise {} {}", factor_, site_); }
  [[nodiscard]] bool repeatable() const override { return true; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check::draws("gaussian_noise", in[1], site_);
    if (!(factor_ >= 0.0F && std::isfinite(factor_))) {
      throw ConfigError(fmt::format("gaussian_noise: factor is {}, expected a finite value of 0 or more", factor_));
    }
    return {in[0]};
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> /*in*/) const override {
    return {0, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::gaussian_noise(ctx, args.in[0], factor_, {args.in[1], site_}, args.out[0]);
  }
  void backward(Backward& backward) const override { backward.pass(0, 0); }  // the deviation is taken as a constant

 private:
  float factor_;
  std::int64_t site_;
};

/// random -> y
class NormalNoiseOp final : public Op {
 public:
  NormalNoiseOp(const TensorType& type, std::int64_t site) : type_(type), site_(site) {}

  [[nodiscard]] std::string_view kind() const override { return "normal_noise"; }
  [[nodiscard]] std::string key() const override {
    return fmt::format("normal_noise {} {}", type_.shape.to_string(), site_);
  }
  [[nodiscard]] bool repeatable() const override { return true; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check::made("normal_noise", type_);
    check::draws("normal_noise", in[0], site_);
    return {type_};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::normal_noise(ctx, {args.in[0], site_}, args.out[0]);
  }

 private:
  TensorType type_;
  std::int64_t site_;
};

}  // namespace

ValueId nodes::gaussian_noise(Graph& graph, ValueId x, float factor, ValueId random, std::int64_t site) {
  if (graph.mode() == Mode::eval) return x;
  return graph.add1(std::make_shared<GaussianNoiseOp>(factor, site), std::array{x, random});
}

ValueId nodes::normal_noise(Graph& graph, const TensorType& type, ValueId random, std::int64_t site) {
  return graph.add1(std::make_shared<NormalNoiseOp>(type, site), std::array{random});
}

}  // namespace dnas::engine
