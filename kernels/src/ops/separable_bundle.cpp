#include "dnas/kernels/separable_bundle.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/separable_bundle_cpu.hpp"
#include "ops/window_axis.hpp"
#include "ops/window_check.hpp"

#include <fmt/format.h>

namespace dnas::kernels {
namespace {

constexpr std::string_view forward = "separable_bundle_forward";
constexpr std::string_view backward = "separable_bundle_backward";
static_assert(max_bundle_span <= WindowAxis::max_reach);

Shape output_of(std::string_view operation, const SeparableBundle& bundle, const Shape& x, std::size_t term) {
  const SeparableWindow& w = bundle.windows[term];
  Shape y = window_output(operation, {w.kernel, bundle.stride, w.dilation, w.padding}, x);
  if (w.kernel > max_bundle_kernel) {
    throw UnsupportedError(
        fmt::format("{}: windows[{}] has kernel {}, supported up to {}", operation, term, w.kernel, max_bundle_kernel));
  }
  if (w.padding > w.dilation * (w.kernel - 1)) {
    throw UnsupportedError(fmt::format("{}: windows[{}] has padding {}, supported up to {} with kernel {}, dilation {}",
                                       operation, term, w.padding, w.dilation * (w.kernel - 1), w.kernel, w.dilation));
  }
  return y;
}

void check_bundle(std::string_view operation, const SeparableBundle& bundle, const Shape& x) {
  if (bundle.windows.empty() || bundle.windows.size() > max_bundle_terms) {
    throw ShapeError(
        fmt::format("{}: {} windows, expected 1 to {}", operation, bundle.windows.size(), max_bundle_terms));
  }
  if (bundle.stride > max_bundle_stride) {
    throw UnsupportedError(
        fmt::format("{}: stride is {}, supported up to {}", operation, bundle.stride, max_bundle_stride));
  }
  const Shape first = output_of(operation, bundle, x, 0);
  for (std::size_t k = 1; k < bundle.windows.size(); ++k) {
    const Shape y = output_of(operation, bundle, x, k);
    if (y != first) {
      throw ShapeError(fmt::format("{}: windows[{}] yields {}, expected {} as windows[0]", operation, k, y.to_string(),
                                   first.to_string()));
    }
  }
}

void check_source(std::string_view operation, const BundleSource& source) {
  check::ranked({operation, "x"}, source.x, 4);
  if (source.normalisation) {
    check::dense({operation, "x's normalisation"}, source.normalisation, {normalisation_rows, source.x.channels()});
  }
}

void check_count(std::string_view operation, std::size_t terms, const SeparableBundle& bundle) {
  if (terms == bundle.windows.size()) return;
  throw ShapeError(fmt::format("{}: {} terms, expected {}, one per window", operation, terms, bundle.windows.size()));
}

void check_channels(std::string_view operation, std::size_t k, std::int64_t channels) {
  if (channels < 1) {
    throw ShapeError(fmt::format("{}: y[{}] has {} channels, expected 1 or more", operation, k, channels));
  }
}

void check_weights(std::string_view operation, std::size_t k, const SeparableWindow& window, const Shape& x,
                   const TensorView& filter, const TensorView& pointwise, const TensorView& y, const Shape& image) {
  check::dense({operation, "filter", k}, filter, {window.kernel, window.kernel, x[3]});
  check::ranked({operation, "y", k}, y, 4);
  check_channels(operation, k, y.channels());
  check::shaped({operation, "y", k}, y, {image[0], image[1], image[2], y.channels()});
  check::dense({operation, "pointwise", k}, pointwise, {y.channels(), x[3]});
}

void check_out_channels(std::string_view operation, const SeparableBundle& bundle, const Shape& x,
                        std::span<const std::int64_t> out_channels) {
  check_bundle(operation, bundle, x);
  check_count(operation, out_channels.size(), bundle);
  for (std::size_t k = 0; k < out_channels.size(); ++k)
    check_channels(operation, k, out_channels[k]);
}

}  // namespace

Shape SeparableBundle::output_shape(const Shape& x, std::size_t term, std::int64_t channels) const {
  if (term >= windows.size()) {
    throw ShapeError(fmt::format("separable_bundle: term {} of {} windows", term, windows.size()));
  }
  const Shape y = output_of("separable_bundle", *this, x, term);
  return {y[0], y[1], y[2], channels};
}

std::size_t separable_bundle_forward_workspace(const Context& ctx, const SeparableBundle& bundle, const Shape& x,
                                               std::span<const std::int64_t> out_channels) {
  check_out_channels(forward, bundle, x, out_channels);
  return cpu::separable_bundle_forward_workspace(ctx, bundle, x, out_channels);
}

void separable_bundle_forward(const Context& ctx, const SeparableBundle& bundle, const BatchNorm& bn,
                              const BundleSource& source, std::span<const BundleTerm> terms,
                              std::span<std::byte> workspace) {
  check_source(forward, source);
  check_bundle(forward, bundle, source.x.shape);
  check_count(forward, terms.size(), bundle);
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const BundleTerm& t = terms[k];
    const Shape image = output_of(forward, bundle, source.x.shape, k);
    check_weights(forward, k, bundle.windows[k], source.x.shape, t.filter, t.pointwise, t.y, image);
    const std::int64_t channels = t.y.channels();
    check::dense({forward, "normalisation", k}, t.normalisation, {normalisation_rows, channels});
    if (static_cast<bool>(t.running.mean) != static_cast<bool>(t.running.var)) {
      throw ShapeError(fmt::format("{}: terms[{}] has one running statistic of two", forward, k));
    }
    if (t.running.mean) {
      check::dense({forward, "running mean", k}, t.running.mean, {channels});
      check::dense({forward, "running variance", k}, t.running.var, {channels});
    }
  }
  cpu::separable_bundle_forward(ctx, bundle, bn, source, terms, workspace);
}

std::size_t separable_bundle_backward_workspace(const Context& ctx, const SeparableBundle& bundle, const Shape& x,
                                                std::span<const std::int64_t> out_channels) {
  check_out_channels(backward, bundle, x, out_channels);
  return cpu::separable_bundle_backward_workspace(ctx, bundle, x, out_channels);
}

void separable_bundle_backward(const Context& ctx, const SeparableBundle& bundle, const BundleSource& source,
                               std::span<const BundleTermGradient> terms, const BundleSourceGradient& gradient,
                               std::span<std::byte> workspace) {
  check_source(backward, source);
  check_bundle(backward, bundle, source.x.shape);
  check_count(backward, terms.size(), bundle);
  const Shape& x = source.x.shape;
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const BundleTermGradient& t = terms[k];
    const Shape image = output_of(backward, bundle, x, k);
    check_weights(backward, k, bundle.windows[k], x, t.filter, t.pointwise, t.y, image);
    check::shaped({backward, "g", k}, t.g, t.y.shape);
    check::dense({backward, "gradient", k}, t.gradient, {normalisation_gradient_rows, t.y.channels()});
    if (t.dfilter) check::dense({backward, "dfilter", k}, t.dfilter, t.filter.shape);
    if (t.dpointwise) check::dense({backward, "dpointwise", k}, t.dpointwise, t.pointwise.shape);
  }
  if (gradient.dx) check::shaped({backward, "dx"}, gradient.dx, x);
  if (gradient.normalisation) {
    if (!gradient.dx || gradient.write != Write::overwrite || !source.normalisation) {
      throw ShapeError(fmt::format(
          "{}: the gradient of x's normalisation is asked for, expected x to have one and dx to be overwritten",
          backward));
    }
    check::dense({backward, "the gradient of x's normalisation"}, gradient.normalisation,
                 {normalisation_gradient_rows, x[3]});
  }
  cpu::separable_bundle_backward(ctx, bundle, source, terms, gradient, workspace);
}

}  // namespace dnas::kernels
