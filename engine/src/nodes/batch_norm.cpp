#include "nodes/batch_norm.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

enum Input { x_in, gamma_in, beta_in, running_mean_in, running_var_in };
enum Output { y_out, mean_out, rstd_out };

/// (x, gamma?, mean, rstd, dy, partial?) -> dx, dgamma, dbeta; those that are not wanted are absent.
class BatchNormBackwardOp final : public Op {
 public:
  BatchNormBackwardOp(bool want_x, bool want_affine) : want_x_(want_x), want_affine_(want_affine) {}

  [[nodiscard]] std::string_view kind() const override { return "batch_norm_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    std::vector<TensorType> out;
    if (want_x_) out.push_back(in[0]);
    if (want_affine_) out.insert(out.end(), 2, in[2]);
    return out;
  }
  [[nodiscard]] std::size_t workspace(const Context& /*ctx*/, std::span<const TensorType> in) const override {
    return kernels::batch_norm_workspace(in[0].shape);
  }
  [[nodiscard]] Sharing sharing(int index, std::span<const TensorType> in) const override {
    if (!want_x_ || index != 0) return {};
    return in[5].present ? share_partial(in, 5) : Sharing{4, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    const std::size_t affine = want_x_ ? 1 : 0;
    kernels::batch_norm_backward(ctx, args.in[0], args.in[1], args.in[2], args.in[3], args.in[4],
                                 want_x_ ? args.out[0] : TensorView{}, write_mode(args.in[5]),
                                 want_affine_ ? args.out[affine] : TensorView{},
                                 want_affine_ ? args.out[affine + 1] : TensorView{}, args.workspace);
  }

 private:
  bool want_x_;
  bool want_affine_;
};

/// (dy, gamma?, running_mean, running_var, x?, partial?) -> dx, dgamma, dbeta; those that are not wanted are absent.
class BatchNormInferenceBackwardOp final : public Op {
 public:
  BatchNormInferenceBackwardOp(const kernels::BatchNorm& settings, bool want_x, bool want_affine)
      : settings_(settings), want_x_(want_x), want_affine_(want_affine) {}

  [[nodiscard]] std::string_view kind() const override { return "batch_norm_inference_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    std::vector<TensorType> out;
    if (want_x_) out.push_back(in[0]);
    if (want_affine_) out.insert(out.end(), 2, in[2]);
    return out;
  }
  [[nodiscard]] std::size_t workspace(const Context& /*ctx*/, std::span<const TensorType> in) const override {
    return kernels::batch_norm_workspace(in[0].shape);
  }
  [[nodiscard]] Sharing sharing(int index, std::span<const TensorType> in) const override {
    if (!want_x_ || index != 0) return {};
    return in[5].present ? share_partial(in, 5) : Sharing{0, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    const std::size_t affine = want_x_ ? 1 : 0;
    kernels::batch_norm_inference_backward(ctx, settings_, args.in[4], args.in[1], args.in[2], args.in[3], args.in[0],
                                           want_x_ ? args.out[0] : TensorView{}, write_mode(args.in[5]),
                                           want_affine_ ? args.out[affine] : TensorView{},
                                           want_affine_ ? args.out[affine + 1] : TensorView{}, args.workspace);
  }

 private:
  kernels::BatchNorm settings_;
  bool want_x_;
  bool want_affine_;
};

/// Sets the partials of what a backward node of these outputs computes.
void set_gradients(Backward& backward, std::span<const ValueId> outputs, bool want_x, bool want_affine) {
  const std::vector<ValueId> gradients(outputs.begin(), outputs.end());  // adding to partials moves the node's own
  if (want_x) backward.set_partial(x_in, gradients[0]);
  if (want_affine) {
    backward.add(gamma_in, gradients[want_x ? 1 : 0]);
    backward.add(beta_in, gradients[want_x ? 2 : 1]);
  }
}

/// (x, gamma?, beta?, running_mean, running_var) -> y, with running statistics.
class BatchNormInferenceOp final : public Op {
 public:
  explicit BatchNormInferenceOp(const kernels::BatchNorm& settings) : settings_(settings) {}

  [[nodiscard]] std::string_view kind() const override { return "batch_norm_inference"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[x_in]}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> /*in*/) const override {
    return {x_in, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::batch_norm_inference(ctx, settings_, args.in[x_in], args.in[gamma_in], args.in[beta_in],
                                  args.in[running_mean_in], args.in[running_var_in], args.out[0]);
  }
  void backward(Backward& backward) const override {
    const bool want_x = backward.wanted(x_in);
    const bool want_affine = backward.wanted(gamma_in);
    // x is not kept for its own gradient.
    const std::array inputs{backward.gradient(0),
                            backward.input(gamma_in),
                            backward.input(running_mean_in),
                            backward.input(running_var_in),
                            want_affine ? backward.input(x_in) : no_value,
                            want_x ? backward.partial(x_in) : no_value};
    const auto outputs =
        backward.graph().add(std::make_shared<BatchNormInferenceBackwardOp>(settings_, want_x, want_affine), inputs);
    set_gradients(backward, outputs, want_x, want_affine);
  }

 private:
  kernels::BatchNorm settings_;
};

void check_settings(const std::string& name, const kernels::BatchNorm& bn) {
  if (!(bn.epsilon > 0.0F)) {
    throw ConfigError(fmt::format("batch_norm {}: epsilon is {}, expected a positive value", name, bn.epsilon));
  }
  if (!(bn.momentum >= 0.0F && bn.momentum <= 1.0F)) {
    throw ConfigError(fmt::format("batch_norm {}: momentum is {}, expected a value in [0, 1]", name, bn.momentum));
  }
}

}  // namespace

std::vector<TensorType> BatchNormOp::infer(std::span<const TensorType> in) const {
  const Shape statistics{in[x_in].shape[-1]};
  return {in[x_in], statistics, statistics};
}

std::size_t BatchNormOp::workspace(const Context& /*ctx*/, std::span<const TensorType> in) const {
  return kernels::batch_norm_workspace(in[x_in].shape);
}

void BatchNormOp::run(const Context& ctx, const OpArguments& args) const {
  kernels::batch_norm_forward(ctx, settings_, args.in[x_in], args.in[gamma_in], args.in[beta_in],
                              args.in[running_mean_in], args.in[running_var_in], args.out[y_out], args.out[mean_out],
                              args.out[rstd_out], args.workspace);
}

void BatchNormOp::backward(Backward& backward) const {
  const bool want_x = backward.wanted(x_in);
  const bool want_affine = backward.wanted(gamma_in);
  const std::array inputs{backward.input(x_in),      backward.input(gamma_in),
                          backward.output(mean_out), backward.output(rstd_out),
                          backward.gradient(y_out),  want_x ? backward.partial(x_in) : no_value};
  const auto outputs = backward.graph().add(std::make_shared<BatchNormBackwardOp>(want_x, want_affine), inputs);
  set_gradients(backward, outputs, want_x, want_affine);
}

ValueId nodes::batch_norm(Graph& graph, ValueId x, const std::string& name, bool affine,
                          const kernels::BatchNorm& settings) {
  check_settings(name, settings);
  const Shape channels{graph.shape(x)[-1]};
  const auto vector = [&](const char* suffix, ParameterInit init) {
    return ParameterSpec{.name = name + suffix, .shape = channels, .layout = ParameterLayout::vector, .init = init};
  };
  const ValueId gamma = affine ? graph.parameter(vector(".weight", ParameterInit::ones)) : no_value;
  const ValueId beta = affine ? graph.parameter(vector(".bias", ParameterInit::zeros)) : no_value;
  const ValueId mean = graph.state(vector(".running_mean", ParameterInit::zeros));
  const ValueId var = graph.state(vector(".running_var", ParameterInit::ones));
  const std::array inputs{x, gamma, beta, mean, var};
  if (graph.mode() == Mode::eval) return graph.add1(std::make_shared<BatchNormInferenceOp>(settings), inputs);
  return graph.add(std::make_shared<BatchNormOp>(settings), inputs).front();
}

}  // namespace dnas::engine
