#pragma once

#include "dnas/engine/dataset.hpp"
#include "dnas/kernels/context.hpp"
#include "dnas/kernels/rng.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace dnas::engine {

/// One mini-batch, ready for a network. The memory belongs to the loader.
struct Batch {
  TensorView images;  ///< [N, H, W, C] f32, normalised
  TensorView labels;  ///< [N] i64
};

/// How batches are drawn from a part of a data set.
struct LoaderOptions {
  std::int64_t batch_size = 64;
  bool shuffle = true;     ///< a new Philox-keyed permutation of `indices` per epoch; else in order
  bool drop_last = false;  ///< leave out the last, smaller batch
  /// Every batch is a fresh random draw of its own (without repetition inside it) instead of a part of a pass through
  /// all images. All batches are full and any step number is valid.
  bool independent = false;
  bool augment = false;   ///< the data set's crops and flips
  int cutout_length = 0;  ///< with augment: side of the square cut out; 0: none
  std::uint64_t seed = 0;
  Stream order_stream = Stream::data_order;
  Stream augmentation_stream = Stream::augmentation;
};

/// Batches of a data set, prepared ahead of time by a thread. Which images a batch holds and how they are augmented
/// depends on nothing but (seed, streams, epoch, step): the same after a restart, at any prefetch depth.
class Loader {
 public:
  /// `set` and `dataset` must outlive the loader; `indices` are positions in `set`. Allocates everything it will need.
  /// @throws ConfigError if the batch size is not positive or there is no image (or no full batch with drop_last)
  Loader(const Dataset& dataset, const ImageSet& set, std::vector<std::int64_t> indices, const LoaderOptions& options);
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;
  ~Loader();

  [[nodiscard]] std::int64_t steps_per_epoch() const noexcept;
  /// The different sizes that the first `steps` batches of an epoch have: one or two.
  [[nodiscard]] std::vector<std::int64_t> batch_sizes(std::int64_t steps) const;
  /// How many images it draws from.
  [[nodiscard]] std::int64_t images() const noexcept;
  /// Bytes held for prepared batches.
  [[nodiscard]] std::size_t bytes() const noexcept;

  /// The batch of (epoch, step). Sequential calls find it prepared; any other call prepares it on the spot.
  /// Valid until the next call. @throws what preparing threw
  [[nodiscard]] Batch get(std::int64_t epoch, std::int64_t step);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dnas::engine
