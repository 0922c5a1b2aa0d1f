#include "ops/state_bundle_cuda.hpp"
#include "reference/node_reduction_ref.hpp"

#include "simt/bundle_fixture.hpp"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <ostream>
#include <tuple>

namespace dnas::kernels::cuda {
namespace {

using simt::DeviceTensor;
using simt::Expected;
using simt::MaybeTensor;
using test::Gap;

simt::Margins margins("node");

// --- cases ----------------------------------------------------------------------------------------------------------

struct TestSource {
  Shape x;
  int stride = 1;
  bool normalised = false;
};

enum class Output { stored, computed };

struct TestTerm {
  std::size_t source;
  CandidateKind kind;
  SeparableWindow window;
  Output output;
  bool normalised = true;  ///< the term, by a batch norm
};

struct Case {
  const char* name;
  std::vector<TestSource> sources;
  std::vector<TestTerm> terms;
  std::int64_t channels;  ///< of the node
  Gap gap = {};           ///< of all tensors
  std::int64_t offset = 0;
  float mean = 0.0F;  ///< of sources
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

constexpr SeparableWindow same(int kernel, int dilation) {
  return {kernel, dilation, (kernel - 1) / 2 * dilation};
}

/// What a DARTS edge has.
std::vector<TestTerm> edge(std::size_t source, int stride, Output output) {
  std::vector<TestTerm> all{{source, CandidateKind::max_pool, same(3, 1), Output::computed},
                            {source, CandidateKind::avg_pool, same(3, 1), Output::computed},
                            {source, CandidateKind::separable, same(3, 1), output},
                            {source, CandidateKind::separable, same(5, 1), output},
                            {source, CandidateKind::separable, same(3, 2), output},
                            {source, CandidateKind::separable, same(5, 2), output}};
  if (stride == 1) {
    all.insert(all.begin() + 2, {source, CandidateKind::identity, {}, Output::computed, false});
  } else {
    all.insert(all.begin() + 2, {source, CandidateKind::factorised_reduce, {}, output});
  }
  return all;
}

std::vector<TestTerm> operator+(std::vector<TestTerm> a, const std::vector<TestTerm>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// --- a node ---------------------------------------------------------------------------------------------------------

class Node {
 public:
  Node(const Case& c, Product product, std::uint64_t seed = 1)
      : c_(c),
        product_(product),
        layout_(simt::layout_of(product, c.gap, c.offset)),
        shape_(output_shape(c, c.terms[0])),
        w_(DeviceTensor::random({size() + 3}, seed)),
        node_(shape_, layout_),
        g_(DeviceTensor::random(shape_, seed + 1, layout_)),
        dw_(DeviceTensor::random({size() + 3}, seed + 2)) {
    for (const TestSource& s : c.sources) {
      seed += 100;
      sources_.push_back({simt::random_about(c.mean, s.x, seed, layout_), {}});
      if (s.normalised) {
        sources_.back().normalisation = simt::random_normalisation(c.mean, s.x[3], seed + 1, c.offset);
      }
    }
    for (const TestTerm& t : c.terms)
      add_term(t, seed += 10);
  }

  void forward() { node_forward(arguments(), w_.view(), node_.view(), product_, nullptr); }
  void backward(bool weights = true, bool gradients = true) {
    const std::vector<NodeTerm> terms = arguments();
    std::vector<TensorView> views;
    for (TermTensors& t : terms_)
      views.push_back(gradients ? t.gradient.view() : TensorView{});
    const TileLaunch launch = node_backward_shape(terms, shape_, product_);
    simt::DeviceScratch scratch(node_backward_workspace(terms, shape_), static_cast<std::size_t>(launch.counters));
    node_backward(terms, w_.view(), g_.view(), weights ? dw_.view() : TensorView{},
                  gradients ? std::span<const TensorView>(views) : std::span<const TensorView>(), product_,
                  scratch.span(), nullptr);
    EXPECT_TRUE(scratch.counters_are_zero() && scratch.untouched());
  }

  std::vector<NodeTerm> arguments() {
    std::vector<NodeTerm> terms;
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      const TestTerm& t = c_.terms[k];
      SourceTensors& source = sources_[t.source];
      TermTensors& tensors = terms_[k];
      terms.push_back({{source.x.view(), view_of(source.normalisation)},
                       {t.kind, t.window, view_of(tensors.filter), view_of(tensors.pointwise)},
                       c_.sources[t.source].stride,
                       view_of(tensors.y),
                       view_of(tensors.normalisation),
                       weight(k)});
    }
    return terms;
  }

  void check_forward() const {
    Expected expected{std::vector<double>(elements()), std::vector<double>(elements())};
    std::vector<reference::ReductionTerm> terms;
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      terms.push_back(reduction_term(k));
      const std::vector<double> error = normalised_error(k);
      const std::vector<double> value = reference::mixed_value(terms[k]);
      for (std::size_t i = 0; i < elements(); ++i) {
        // The output's own error; then a subtraction, a product and a sum of all terms in f32.
        expected.magnitude[i] +=
            std::abs(terms[k].weight) * (error[i] + f32_sum(static_cast<double>(size() + 3)) * std::abs(value[i]));
      }
    }
    expected.value = reference::node_reduction(terms);
    if (product_ == Product::bf16) {
      for (std::size_t i = 0; i < elements(); ++i)
        expected.magnitude[i] += std::ldexp(std::abs(expected.value[i]), -8);  // stored: half a unit of 8 bits
    }
    simt::expect_close(node_.doubles(), expected, 1.0, product_, "node", margins);
    EXPECT_TRUE(node_.untouched());
  }

  /// After backward(weights, gradients) with dw as `before`.
  void check_backward(const std::vector<double>& before, bool weights = true, bool gradients = true) const {
    const std::vector<double> g = g_.doubles();
    Expected dw{before, std::vector<double>(before.size())};
    for (double& magnitude : dw.magnitude)
      magnitude = 1e-12;  // untouched ones are compared too
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      const reference::ReductionTerm term = reduction_term(k);
      const std::vector<double> value = reference::mixed_value(term);
      const std::vector<double> error = normalised_error(k);
      const auto at = static_cast<std::size_t>(weight(k));
      dw.value[at] += reference::mixing_gradient(term, g);
      dw.magnitude[at] += std::ldexp(std::abs(dw.value[at]) + std::abs(before[at]), -23);
      for (std::size_t i = 0; i < elements(); ++i)
        dw.magnitude[at] += std::abs(g[i]) * (error[i] + tile_sum * std::abs(value[i]));
      if (gradients) check_gradient(k, term, g, value, error);
    }
    if (weights) {
      simt::expect_close(dw_.doubles(), dw, 1.0, product_, "dw", margins);
    } else {
      EXPECT_EQ(dw_.doubles(), before);
    }
    EXPECT_TRUE(dw_.untouched());
  }

  [[nodiscard]] std::vector<double> dw() const { return dw_.doubles(); }
  [[nodiscard]] std::vector<const DeviceTensor*> results() const {
    std::vector<const DeviceTensor*> all{&node_, &dw_};
    for (const TermTensors& t : terms_)
      all.push_back(&t.gradient);
    return all;
  }
  [[nodiscard]] const DeviceTensor& node() const { return node_; }
  const DeviceTensor& y(std::size_t k) { return *terms_[k].y; }
  [[nodiscard]] const DeviceTensor& gradient(std::size_t k) const { return terms_[k].gradient; }
  [[nodiscard]] const Shape& shape() const { return shape_; }

 private:
  struct SourceTensors {
    DeviceTensor x;
    MaybeTensor normalisation;
  };
  struct TermTensors {
    MaybeTensor filter;
    MaybeTensor pointwise;
    MaybeTensor y;
    MaybeTensor normalisation;
    DeviceTensor gradient;
    Expected output;
  };

  // Sums of a tile: 16 products of a thread, 8 lanes and 8 warps in f32.
  static constexpr double tile_sum = 32.0 / (1 << 24);
  static double f32_sum(double terms) { return std::ldexp(terms, -24); }

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(c_.terms.size()); }
  [[nodiscard]] std::size_t elements() const { return static_cast<std::size_t>(shape_.elements()); }
  /// In reverse order, three positions unused.
  [[nodiscard]] std::int32_t weight(std::size_t k) const { return static_cast<std::int32_t>(c_.terms.size() + 2 - k); }

  static Shape output_shape(const Case& c, const TestTerm& t) {
    const TestSource& source = c.sources[t.source];
    return simt::output_shape(t.kind, t.window, source.stride, source.x, c.channels);
  }
  void add_term(const TestTerm& t, std::uint64_t seed) {
    const TestSource& source = c_.sources[t.source];
    const std::int64_t in = source.x[3];
    const simt::Layout f32{.offset = c_.offset};
    TermTensors tensors{{}, {}, {}, {}, DeviceTensor({4, c_.channels}, f32), {}};
    if (t.kind == CandidateKind::separable) {
      tensors.filter = DeviceTensor::random({t.window.kernel, t.window.kernel, in}, seed, f32);
    }
    if (t.kind == CandidateKind::separable || t.kind == CandidateKind::factorised_reduce) {
      tensors.pointwise = DeviceTensor::random({c_.channels, in}, seed + 1, f32);
    }
    tensors.output = simt::candidate_output(t.kind, t.window, source.stride, source.x,
                                            simt::state_of(sources_[t.source].x, sources_[t.source].normalisation),
                                            doubles_of(tensors.filter), doubles_of(tensors.pointwise));
    if (t.output == Output::stored) {
      tensors.y.emplace(shape_, layout_);
      for (std::size_t i = 0; i < tensors.output.value.size(); ++i)
        tensors.y->set(static_cast<std::int64_t>(i), tensors.output.value[i]);
      tensors.output = {tensors.y->doubles(), std::vector<double>(elements())};
    } else {
      for (double& magnitude : tensors.output.magnitude)
        magnitude *= simt::output_tolerance(product_);
    }
    if (t.normalised) {
      const reference::Moments moments(tensors.output.value, c_.channels);
      tensors.normalisation.emplace(Shape{2, c_.channels}, f32);
      for (std::int64_t i = 0; i < c_.channels; ++i) {
        const auto channel = static_cast<std::size_t>(i);
        tensors.normalisation->set(i, moments.mean[channel]);
        tensors.normalisation->set(c_.channels + i, moments.rstd(channel, 1e-5));
      }
    }
    terms_.push_back(std::move(tensors));
  }

  [[nodiscard]] reference::ReductionTerm reduction_term(std::size_t k) const {
    const TermTensors& t = terms_[k];
    reference::ReductionTerm term{t.output.value, {}, w_[weight(k)]};
    if (t.normalisation) {
      const std::vector<double> rows = t.normalisation->doubles();
      const auto half = rows.begin() + c_.channels;
      term.normalisation = {{rows.begin(), half}, {half, rows.end()}};
    }
    return term;
  }
  /// Of a term's normalised output: what its output is off by, times rstd.
  [[nodiscard]] std::vector<double> normalised_error(std::size_t k) const {
    std::vector<double> error = terms_[k].output.magnitude;
    const MaybeTensor& n = terms_[k].normalisation;
    for (std::size_t i = 0; i < error.size() && n; ++i)
      error[i] *= (*n)[c_.channels + static_cast<std::int64_t>(i) % c_.channels];
    return error;
  }

  void check_gradient(std::size_t k, const reference::ReductionTerm& term, const std::vector<double>& g,
                      const std::vector<double>& value, const std::vector<double>& error) const {
    const auto channels = static_cast<std::size_t>(c_.channels);
    const double pixels = static_cast<double>(elements() / channels);
    Expected rows{std::vector<double>(4 * channels), std::vector<double>(4 * channels)};
    for (std::size_t c = 0; c < channels; ++c)
      rows.value[c] = term.weight;
    if (term.normalisation) {
      const auto r = reference::normalisation_gradient(term.x, *term.normalisation, term.weight, g);
      rows.value = r.scale;
      rows.value.insert(rows.value.end(), r.slope.begin(), r.slope.end());
      rows.value.insert(rows.value.end(), r.mean.begin(), r.mean.end());
      rows.value.insert(rows.value.end(), r.offset.begin(), r.offset.end());
      for (std::size_t i = 0; i < elements(); ++i) {
        const std::size_t c = i % channels;
        const double rstd = term.normalisation->rstd[c];
        const double factor = std::abs(term.weight * rstd * g[i]) / pixels;
        rows.magnitude[channels + c] += factor * rstd * (error[i] + tile_sum * std::abs(value[i]));
        rows.magnitude[3 * channels + c] += factor * tile_sum;
      }
    }
    for (std::size_t i = 0; i < rows.value.size(); ++i)
      rows.magnitude[i] += std::ldexp(std::abs(rows.value[i]), -24);  // rounded once
    simt::expect_close(terms_[k].gradient.doubles(), rows, 1.0, product_, "normalisation gradient", margins);
    EXPECT_TRUE(terms_[k].gradient.untouched());
  }

  Case c_;
  Product product_;
  simt::Layout layout_;
  Shape shape_;
  DeviceTensor w_;
  DeviceTensor node_;
  DeviceTensor g_;
  DeviceTensor dw_;
  std::deque<SourceTensors> sources_;
  std::deque<TermTensors> terms_;
};

// --- tests ----------------------------------------------------------------------------------------------------------

class NodeCuda : public testing::TestWithParam<std::tuple<Case, Product, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<2>(GetParam())); }
  Node node{std::get<0>(GetParam()), std::get<1>(GetParam())};
};

TEST_P(NodeCuda, ForwardMatchesLoops) {
  node.forward();
  node.check_forward();
}

TEST_P(NodeCuda, BackwardMatchesLoops) {
  const std::vector<double> before = node.dw();
  node.backward();
  node.check_backward(before);
}

const TestTerm identity_of_0{0, CandidateKind::identity, {}, Output::computed, false};
const TestTerm normalised_identity_of_0{0, CandidateKind::identity, {}, Output::computed};

const Case all_products[] = {
    // Ragged tiles, two sources of which one has a normalisation; stored outputs among computed ones.
    {"Channels16",
     {{{2, 17, 20, 16}}, {{2, 17, 20, 16}, 1, true}},
     edge(0, 1, Output::stored) + edge(1, 1, Output::computed),
     16},
    // A reduction cell: inputs of twice the extent, a node within the cell.
    {"Channels32Strided",
     {{{1, 17, 18, 32}, 2, true}, {{1, 9, 9, 32}, 1}},
     edge(0, 2, Output::computed) + edge(1, 1, Output::stored),
     32},
    {"Channels64",
     {{{2, 9, 7, 64}}, {{2, 9, 7, 64}, 1, true}},
     edge(0, 1, Output::computed) + edge(1, 1, Output::stored),
     64},
    {"AllStored",
     {{{3, 17, 9, 16}}},
     {{0, CandidateKind::separable, same(3, 1), Output::stored},
      {0, CandidateKind::max_pool, same(3, 1), Output::stored},
      identity_of_0,
      {0, CandidateKind::separable, same(5, 2), Output::stored, false}},
     16},
    {"MeanOf100Deviations",
     {{{2, 9, 17, 12}}},
     {{0, CandidateKind::separable, {1, 1, 0}, Output::stored},
      {0, CandidateKind::avg_pool, same(3, 1), Output::stored},
      {0, CandidateKind::max_pool, same(3, 1), Output::computed},
      normalised_identity_of_0},
     12,
     {},
     0,
     60.0F},
};

const Case shapes[] = {
    {"Ragged5", {{{3, 9, 7, 5}, 1, true}}, edge(0, 1, Output::computed), 5, {2, 1}},
    {"Ragged5Stored", {{{3, 9, 7, 5}, 1}}, edge(0, 1, Output::stored), 5, {2, 1}},
    {"Ragged12", {{{2, 17, 5, 12}, 2}}, edge(0, 2, Output::computed), 12},
    {"Ragged20", {{{2, 17, 5, 20}, 2, true}}, edge(0, 2, Output::computed) + edge(0, 2, Output::stored), 20},
    {"Ragged36", {{{1, 9, 7, 36}}}, edge(0, 1, Output::computed), 36},
    {"OddHalves", {{{2, 9, 7, 8}, 2}}, {{0, CandidateKind::factorised_reduce, {}, Output::computed}}, 10},
    {"Slices", {{{2, 9, 7, 8}}}, edge(0, 1, Output::stored), 8, {8, 16}},
    {"Misaligned", {{{2, 9, 7, 8}}}, edge(0, 1, Output::computed) + edge(0, 1, Output::stored), 8, {}, 1},
    {"MisalignedPairs", {{{2, 9, 7, 8}, 1, true}}, edge(0, 1, Output::computed), 8, {}, 2},
    {"MoreIn", {{{2, 7, 6, 40}}}, {{0, CandidateKind::separable, same(3, 1), Output::computed}}, 12},
    {"OtherWindow", {{{2, 9, 7, 8}}}, {{0, CandidateKind::separable, same(7, 1), Output::computed}}, 8},
    {"OneTerm", {{{2, 9, 7, 8}}}, {{0, CandidateKind::separable, same(3, 1), Output::stored}}, 8},
    {"OneIdentity", {{{2, 9, 7, 8}}}, {identity_of_0}, 8},
    {"OnePixel", {{{1, 1, 1, 16}}}, edge(0, 1, Output::computed), 16},
    {"SourcesInTurns",
     {{{1, 9, 7, 8}}, {{1, 9, 7, 8}, 1, true}},
     {{0, CandidateKind::separable, same(5, 2), Output::computed},
      {1, CandidateKind::identity, {}, Output::computed, false},
      {0, CandidateKind::max_pool, same(3, 1), Output::computed},
      {1, CandidateKind::separable, same(3, 1), Output::computed},
      {1, CandidateKind::separable, same(5, 1), Output::stored},
      {1, CandidateKind::separable, same(3, 2), Output::computed}},
     8},
};

std::string test_name(const testing::TestParamInfo<std::tuple<Case, Product, simt::Schedule>>& info) {
  return std::string(std::get<0>(info.param).name) + '_' + simt::name_of(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Products, NodeCuda,
                         testing::Combine(testing::ValuesIn(all_products),
                                          testing::Values(Product::tf32x3, Product::tf32, Product::bf16),
                                          testing::Values(simt::Schedule::shuffled)),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Shapes, NodeCuda,
                         testing::Combine(testing::ValuesIn(shapes), testing::Values(Product::tf32x3, Product::bf16),
                                          testing::Values(simt::Schedule::by_warp)),
                         test_name);

TEST(NodeCudaGradients, MayBeUnwanted) {
  const Case c{"Unwanted", {{{2, 9, 7, 8}}}, edge(0, 1, Output::computed), 8};
  for (const auto& [weights, gradients] : {std::pair{true, false}, {false, true}, {false, false}}) {
    Node node(c, Product::tf32x3);
    const std::vector<double> before = node.dw();
    node.backward(weights, gradients);
    node.check_backward(before, weights, gradients);
    for (std::size_t k = 0; k < c.terms.size() && !gradients; ++k)
      EXPECT_TRUE(std::isnan(node.gradient(k)[0])) << "gradient " << k << " was written";
  }
}

// A launch for some terms may be cut into more groups per term, but needs no more scratch than one for all.
TEST(NodeCudaGradients, OfSomeTermsFitTheScratchForAll) {
  const Shape shape{64, 1, 1, 5};  // a tile each
  const DeviceTensor x = DeviceTensor::random(shape, 1);
  const DeviceTensor g = DeviceTensor::random(shape, 2);
  const DeviceTensor w = DeviceTensor::random({7}, 3);
  std::vector<NodeTerm> terms;
  std::deque<DeviceTensor> rows;
  std::vector<TensorView> gradients;
  for (std::int32_t k = 0; k < 7; ++k) {
    terms.push_back({{x.view(), {}}, {}, 1, {}, {}, k});
    gradients.push_back(rows.emplace_back(Shape{normalisation_gradient_rows, 5}).view());
  }
  for (std::size_t unwanted = 0; unwanted < 3; ++unwanted) {
    simt::DeviceScratch scratch(node_backward_workspace(terms, shape), 64);
    node_backward(terms, w.view(), g.view(), {}, gradients, Product::tf32, scratch.span(), nullptr);
    EXPECT_TRUE(scratch.untouched()) << unwanted << " of 7 unwanted";
    EXPECT_EQ(rows[unwanted][0], w[static_cast<std::int64_t>(unwanted)]);  // scale
    gradients[unwanted] = {};
  }
}

// The node of outputs that the forward pass stored, and of those that it did not, is one and the same.
TEST(NodeCudaOutputs, ComputedAgainAreTheOnesThatWereStored) {
  for (const Product product : {Product::tf32x3, Product::tf32, Product::bf16}) {
    for (const bool normalised : {false, true}) {
      const std::vector<TestSource> source{{{2, 9, 18, 20}, 1, normalised}};
      std::vector<TestTerm> terms = edge(0, 1, Output::computed);
      std::erase_if(terms, [](const TestTerm& t) { return t.kind == CandidateKind::identity; });
      Node computed({"Computed", source, terms, 20}, product);
      for (TestTerm& t : terms)
        t.output = Output::stored;
      Node stored({"Stored", source, terms, 20}, product);
      // The reference's outputs are replaced by the kernel's.
      std::vector<Candidate> candidates;
      std::vector<CandidateOutput> outputs;
      std::vector<NodeTerm> arguments = stored.arguments();
      for (std::size_t k = 0; k < terms.size(); ++k) {
        candidates.push_back(arguments[k].candidate);
        outputs.push_back({stored.y(k).view(), arguments[k].normalisation, {}});
      }
      const std::vector<StateBundle> states{{arguments[0].source, candidates, outputs}};
      const TileLaunch launch = state_bundle_forward_shape(1, states, product);
      simt::DeviceScratch scratch(state_bundle_forward_workspace(1, states), static_cast<std::size_t>(launch.counters));
      state_bundle_forward({}, 1, states, product, scratch.span(), nullptr);
      std::vector<NodeTerm> again = computed.arguments();
      for (std::size_t k = 0; k < terms.size(); ++k)
        again[k].normalisation = arguments[k].normalisation;

      DeviceTensor a(stored.shape(), simt::layout_of(product, {}, 0));
      DeviceTensor b(stored.shape(), simt::layout_of(product, {}, 0));
      const DeviceTensor w = DeviceTensor::random({16}, 5);
      node_forward(arguments, w.view(), a.view(), product, nullptr);
      node_forward(again, w.view(), b.view(), product, nullptr);
      EXPECT_FALSE(std::isnan(a[0]));
      EXPECT_TRUE(a.same_bits(b)) << simt::name_of(product) << (normalised ? " normalised" : "");
    }
  }
}

TEST(NodeCudaSchedules, BitsDoNotDependOnThem) {
  const Case c{"Kinds",
               {{{2, 17, 10, 16}, 2, true}, {{2, 9, 5, 16}, 1}},
               edge(0, 2, Output::computed) + edge(1, 1, Output::stored),
               16};
  for (const Product product : {Product::tf32, Product::bf16}) {
    const auto run = [&](simt::Schedule schedule) {
      simt::set_schedule(schedule);
      Node node(c, product);
      node.forward();
      node.backward();
      return node;
    };
    const Node first = run(simt::Schedule::ascending);
    for (const simt::Schedule schedule : simt::all_schedules) {
      const Node again = run(schedule);
      const auto expected = first.results();
      const auto actual = again.results();
      for (std::size_t i = 0; i < actual.size(); ++i)
        EXPECT_TRUE(actual[i]->same_bits(*expected[i])) << "result " << i;
    }
  }
}

// For ThreadSanitizer: each step of the pipeline, on several tiles.
TEST(NodeCudaTiny, EveryKind) {
  for (const int stride : {1, 2}) {
    const Case c{"Tiny",
                 {{{1, 17 * stride, 5 * stride, 8}, stride, true}, {{1, 17, 5, 8}}},
                 edge(0, stride, Output::computed) + edge(1, 1, Output::stored),
                 8};
    Node node(c, stride == 1 ? Product::tf32 : Product::bf16);
    node.forward();
    node.check_forward();
    const std::vector<double> before = node.dw();
    node.backward();
    node.check_backward(before);
  }
}

TEST(NodeCudaLaunch, SaysWhatItNeeds) {
  // The last node of a canonical cell has five edges; the product's storage type decides how much memory it takes.
  std::vector<TestTerm> terms;
  std::vector<TestSource> sources;
  for (std::size_t s = 0; s < 5; ++s) {
    sources.push_back({{2, 8, 8, 64}});
    terms = terms + edge(s, 1, Output::stored);
  }
  Node node({"Canonical", sources, terms, 64}, Product::tf32);
  const std::vector<NodeTerm> arguments = node.arguments();
  const Shape shape{64, 8, 8, 64};
  const TileLaunch forward = node_forward_shape(arguments, shape, Product::tf32);
  EXPECT_EQ(forward.channels, 64);
  EXPECT_EQ(forward.tiles, 64);
  EXPECT_EQ(forward.groups, 1);
  EXPECT_LE(forward.shared_bytes, 113U * 1024);  // two per multiprocessor
  const TileLaunch backward = node_backward_shape(arguments, shape, Product::tf32);
  EXPECT_EQ(backward.groups, 4);  // of 64 tiles each
  EXPECT_LT(node_forward_shape(arguments, shape, Product::bf16).shared_bytes, forward.shared_bytes);
}

}  // namespace
}  // namespace dnas::kernels::cuda
