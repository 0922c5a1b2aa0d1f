#include "nodes/separable_bundle.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/partial.hpp"

#include <array>

namespace dnas::engine {

namespace {

using kernels::max_bundle_terms;
using Channels = std::array<std::int64_t, max_bundle_terms>;

/// Multiply-adds of all terms, once through. `pointwise(k)` is the type of term k's weights.
template <typename Pointwise>
std::int64_t products(const kernels::SeparableBundle& bundle, const Shape& x, Pointwise pointwise) {
  std::int64_t sum = 0;
  for (std::size_t k = 0; k < bundle.windows.size(); ++k) {
    const std::int64_t kernel = bundle.windows[k].kernel;
    const std::int64_t channels = pointwise(k).shape[0];
    const std::int64_t pixels = bundle.output_shape(x, k, 1).elements();
    sum += pixels * x[-1] * (kernel * kernel + channels);
  }
  return sum;
}

/// (x, its normalisation?, partial?, then per term filter, pointwise, y, g, rows)
/// -> dx?, the source's rows?, then per term dfilter?, dpointwise?
class SeparableBundleBackwardOp final : public Op {
 public:
  struct Term {
    kernels::SeparableWindow window;
    bool want_filter = false;
    bool want_pointwise = false;
  };

  SeparableBundleBackwardOp(int stride, bool want_source, const std::vector<Term>& terms)
      : stride_(stride), want_source_(want_source), terms_(terms) {
    for (const Term& term : terms)
      windows_.push_back(term.window);
  }

  [[nodiscard]] std::string_view kind() const override { return "separable_bundle_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    std::vector<TensorType> out;
    if (want_source_) out.push_back(in[x_in]);
    if (want_source_ && in[normalisation_in].present) {
      out.emplace_back(Shape{kernels::normalisation_gradient_rows, in[x_in].shape[-1]});
    }
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      if (terms_[k].want_filter) out.push_back(in[first(k) + filter_in]);
      if (terms_[k].want_pointwise) out.push_back(in[first(k) + pointwise_in]);
    }
    return out;
  }
  [[nodiscard]] Sharing sharing(int index, std::span<const TensorType> in) const override {
    return want_source_ && index == 0 ? share_partial(in, partial_in) : Sharing{};
  }
  [[nodiscard]] std::size_t workspace(const Context& ctx, std::span<const TensorType> in) const override {
    Channels channels{};
    for (std::size_t k = 0; k < terms_.size(); ++k)
      channels[k] = in[first(k) + pointwise_in].shape[0];
    return kernels::separable_bundle_backward_workspace(ctx, bundle(), in[x_in].shape,
                                                        std::span(channels).first(terms_.size()));
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    // Of the weights and of the data.
    return 2 * products(bundle(), in[x_in].shape, [&](std::size_t k) { return in[first(k) + pointwise_in]; });
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    std::size_t out = 0;
    const auto next = [&](bool wanted) { return wanted ? args.out[out++] : TensorView{}; };
    kernels::BundleSourceGradient source;
    source.dx = next(want_source_);
    source.write = write_mode(args.in[partial_in]);
    source.normalisation = next(want_source_ && args.in[normalisation_in]);
    std::array<kernels::BundleTermGradient, max_bundle_terms> terms;
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      const auto in = args.in.subspan(first(k), inputs_per_term);
      kernels::BundleTermGradient& term = terms[k];
      term.filter = in[filter_in];
      term.pointwise = in[pointwise_in];
      term.y = in[y_in];
      term.g = in[g_in];
      term.gradient = in[rows_in];
      term.dfilter = next(terms_[k].want_filter);
      term.dpointwise = next(terms_[k].want_pointwise);
    }
    kernels::separable_bundle_backward(ctx, bundle(), {args.in[x_in], args.in[normalisation_in]},
                                       std::span(terms).first(terms_.size()), source, args.workspace);
  }

 private:
  enum Input { x_in, normalisation_in, partial_in, first_term_in };
  enum TermInput { filter_in, pointwise_in, y_in, g_in, rows_in, inputs_per_term };
  static std::size_t first(std::size_t term) { return first_term_in + term * inputs_per_term; }
  [[nodiscard]] kernels::SeparableBundle bundle() const { return {stride_, windows_}; }

  int stride_;
  bool want_source_;
  std::vector<Term> terms_;
  std::vector<kernels::SeparableWindow> windows_;
};

enum Input { x_in, normalisation_in, first_term_in };
enum TermInput { filter_in, pointwise_in, running_mean_in, running_var_in, inputs_per_term };
enum TermOutput { y_out, normalisation_out, outputs_per_term };

int term_input(std::size_t term, TermInput input) {
  return first_term_in + static_cast<int>(term) * inputs_per_term + input;
}
int term_output(std::size_t term, TermOutput output) {
  return static_cast<int>(term) * outputs_per_term + output;
}
const TensorType& pointwise_type(std::span<const TensorType> in, std::size_t term) {
  return in[static_cast<std::size_t>(term_input(term, pointwise_in))];
}

}  // namespace

std::vector<TensorType> SeparableBundleOp::infer(std::span<const TensorType> in) const {
  std::vector<TensorType> out;
  for (std::size_t k = 0; k < windows_.size(); ++k) {
    const std::int64_t channels = pointwise_type(in, k).shape[0];
    out.emplace_back(bundle().output_shape(in[x_in].shape, k, channels));
    out.emplace_back(Shape{kernels::normalisation_rows, channels});
  }
  return out;
}

std::size_t SeparableBundleOp::workspace(const Context& ctx, std::span<const TensorType> in) const {
  Channels channels{};
  for (std::size_t k = 0; k < windows_.size(); ++k)
    channels[k] = pointwise_type(in, k).shape[0];
  return kernels::separable_bundle_forward_workspace(ctx, bundle(), in[x_in].shape,
                                                     std::span(channels).first(windows_.size()));
}

std::int64_t SeparableBundleOp::multiply_adds(std::span<const TensorType> in) const {
  return products(bundle(), in[x_in].shape, [&](std::size_t k) { return pointwise_type(in, k); });
}

void SeparableBundleOp::run(const Context& ctx, const OpArguments& args) const {
  std::array<kernels::BundleTerm, max_bundle_terms> terms;
  for (std::size_t k = 0; k < windows_.size(); ++k) {
    const auto in = args.in.subspan(static_cast<std::size_t>(term_input(k, filter_in)), inputs_per_term);
    const auto out = args.out.subspan(static_cast<std::size_t>(term_output(k, y_out)), outputs_per_term);
    terms[k] = {
        in[filter_in], in[pointwise_in], out[y_out], out[normalisation_out], {in[running_mean_in], in[running_var_in]}};
  }
  kernels::separable_bundle_forward(ctx, bundle(), {}, {args.in[x_in], args.in[normalisation_in]},
                                    std::span(terms).first(windows_.size()), args.workspace);
}

void SeparableBundleOp::backward(Backward& backward) const {
  const bool want_source = backward.wanted(x_in);
  const bool normalised = backward.input(normalisation_in) != no_value;
  if (want_source && normalised && backward.partial(x_in) != no_value) {
    throw Error("separable_bundle: its normalised source has a gradient already, expected no other reader");
  }
  std::vector<ValueId> inputs{backward.input(x_in), backward.input(normalisation_in),
                              want_source ? backward.partial(x_in) : no_value};
  std::vector<SeparableBundleBackwardOp::Term> terms;
  std::vector<int> weights;  // the inputs that outputs are gradients of
  for (std::size_t k = 0; k < windows_.size(); ++k) {
    const int y = term_output(k, y_out);
    if (!backward.has_gradient(y)) continue;
    const int filter = term_input(k, filter_in);
    const int pointwise = term_input(k, pointwise_in);
    const SeparableBundleBackwardOp::Term term{windows_[k], backward.wanted(filter), backward.wanted(pointwise)};
    if (!want_source && !term.want_filter && !term.want_pointwise) continue;
    terms.push_back(term);
    for (const ValueId id : {backward.input(filter), backward.input(pointwise), backward.output(y),
                             backward.gradient(y), backward.gradient(term_output(k, normalisation_out))})
      inputs.push_back(id);
    if (term.want_filter) weights.push_back(filter);
    if (term.want_pointwise) weights.push_back(pointwise);
  }
  if (terms.empty()) return;
  const auto outputs =
      backward.graph().add(std::make_shared<SeparableBundleBackwardOp>(stride_, want_source, terms), inputs);
  const std::vector<ValueId> gradients(outputs.begin(), outputs.end());
  std::size_t out = 0;
  if (want_source) backward.set_partial(x_in, gradients[out++]);
  if (want_source && normalised) backward.set_partial(normalisation_in, gradients[out++]);
  for (const int input : weights)
    backward.add(input, gradients[out++]);
}

}  // namespace dnas::engine
