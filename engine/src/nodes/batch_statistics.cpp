#include "nodes/batch_statistics.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/kernels/normalisation.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace dnas::engine {

namespace {

/// (x, partial?, then g, rows of each batch norm) -> dx
class NormalisationBackwardOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "normalisation_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return in[1].present ? share_partial(in, 1) : Sharing{0, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    std::array<TensorView, max_statistics_readers> g;
    std::array<TensorView, max_statistics_readers> rows;
    const std::size_t readers = (args.in.size() - 2) / 2;
    for (std::size_t e = 0; e < readers; ++e) {
      g[e] = args.in[2 + 2 * e];
      rows[e] = args.in[3 + 2 * e];
    }
    kernels::normalisation_backward(ctx, args.in[0], std::span(g).first(readers), std::span(rows).first(readers),
                                    args.out[0], write_mode(args.in[1]));
  }
};

std::size_t readers_of(std::size_t inputs) {
  return (inputs - 1) / 2;
}

}  // namespace

std::vector<TensorType> BatchStatisticsOp::infer(std::span<const TensorType> in) const {
  const std::size_t readers = readers_of(in.size());
  if (readers == 0 || readers > max_statistics_readers) {
    throw ShapeError(
        fmt::format("batch_statistics: {} batch norms, expected 1 to {}", readers, max_statistics_readers));
  }
  std::vector<TensorType> out;
  for (std::size_t e = 0; e < readers; ++e) {
    out.push_back(in[0]);
    out.emplace_back(Shape{kernels::normalisation_rows, in[0].shape[-1]});
  }
  return out;
}

Sharing BatchStatisticsOp::sharing(int index, std::span<const TensorType> /*in*/) const {
  return index % 2 == 0 ? Sharing{0, true, 0} : Sharing{};
}

std::size_t BatchStatisticsOp::workspace(const Context& /*ctx*/, std::span<const TensorType> in) const {
  return kernels::batch_statistics_workspace(in[0].shape);
}

void BatchStatisticsOp::run(const Context& ctx, const OpArguments& args) const {
  std::array<kernels::RunningStatistics, max_statistics_readers> running;
  const std::size_t readers = readers_of(args.in.size());
  for (std::size_t e = 0; e < readers; ++e)
    running[e] = {args.in[1 + 2 * e], args.in[2 + 2 * e]};
  const TensorView& first = args.out[1];
  kernels::batch_statistics(ctx, {}, args.in[0], std::span(running).first(readers), first, args.workspace);
  for (std::size_t e = 1; e < readers; ++e)
    std::copy_n(first.f32(), first.elements(), args.out[2 * e + 1].f32());
}

void BatchStatisticsOp::backward(Backward& backward) const {
  if (!backward.wanted(0)) return;
  std::vector<ValueId> inputs{backward.input(0), backward.partial(0)};
  for (int e = 0; e < static_cast<int>(readers_of(static_cast<std::size_t>(backward.inputs()))); ++e) {
    if (!backward.has_gradient(2 * e)) continue;
    inputs.push_back(backward.gradient(2 * e));
    inputs.push_back(backward.gradient(2 * e + 1));
  }
  backward.set_partial(0, backward.graph().add1(std::make_shared<NormalisationBackwardOp>(), inputs));
}

}  // namespace dnas::engine
