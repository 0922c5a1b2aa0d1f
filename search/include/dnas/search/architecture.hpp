#pragma once

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "dnas/search/edge_weighting.hpp"
#include "dnas/search/relaxation.hpp"
#include "dnas/search/space.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dnas::search {

/// The architecture parameters of a search (alpha of every choice group, beta where the edge weighting has one), the
/// mixing weights they give, and the gradients on the way back. Everything a method invents about alpha happens here;
/// the supernet sees mixing weights only.
class Architecture {
 public:
  Architecture(const Space& space, std::unique_ptr<const Relaxation> relaxation,
               std::unique_ptr<const EdgeWeighting> edge_weighting);

  /// alpha = 1e-3 * N(0, 1), beta likewise, keyed by (seed, Stream::alpha_init).
  void initialise(std::uint64_t seed);

  /// All architecture parameters, and the gradient of the same layout, as flat arrays.
  [[nodiscard]] std::span<float> parameters() noexcept { return parameters_.f32().first(count_); }
  [[nodiscard]] std::span<float> gradient() noexcept { return gradient_.f32().first(count_); }

  struct Tensor {
    std::string name;  ///< "alphas_normal", "betas_normal"
    TensorView values;
    TensorView gradient;
  };
  [[nodiscard]] const std::vector<Tensor>& tensors() const noexcept { return tensors_; }
  [[nodiscard]] const std::vector<ChoiceGroup>& groups() const noexcept { return *groups_; }

  /// Computes the mixing weights from the present parameters; `step` keys the noise of sampled relaxations.
  void relax(const Context& ctx, std::uint64_t seed, std::uint32_t step);

  /// [edges, candidates] per group, after relax().
  [[nodiscard]] std::span<const TensorView> mix() const noexcept { return mix_; }

  /// Writes gradient() from the gradient of the mixing weights, one per group in order; null views count as zero.
  void backward(const Context& ctx, std::span<const TensorView> dmix);

 private:
  const std::vector<ChoiceGroup>* groups_;
  std::unique_ptr<const Relaxation> relaxation_;
  std::unique_ptr<const EdgeWeighting> edge_weighting_;
  std::size_t count_ = 0;
  Buffer parameters_;
  Buffer gradient_;
  Buffer weights_memory_;  // relaxed weights, mixing weights and scratch of every group
  std::vector<Tensor> tensors_;
  std::vector<std::size_t> alpha_;  // index into tensors_, per group
  std::vector<int> beta_;           // likewise; -1: none
  std::vector<TensorView> weights_;
  std::vector<TensorView> mix_;
  std::vector<TensorView> dweights_;
  std::vector<RelaxationInput> inputs_;
};

}  // namespace dnas::search
