#include "dnas/engine/loader.hpp"

#include "data/sampling.hpp"
#include "dnas/kernels/augment.hpp"
#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

namespace dnas::engine {
namespace {

constexpr std::int64_t max_epoch = std::numeric_limits<std::uint32_t>::max();  // the random generator's step
constexpr int max_extent = std::numeric_limits<std::int16_t>::max();           // of shifts and cut-outs

void check_set(const Dataset& dataset, const ImageSet& set) {
  if (set.image.rank() != 3 || set.image.elements() <= 0 || set.image[0] > max_extent || set.image[1] > max_extent) {
    throw DataError(fmt::format("loader: {}: image shape {}, expected [height, width, channels]", dataset.name,
                                set.image.to_string()));
  }
  const auto channels = static_cast<std::size_t>(set.image[2]);
  if (set.pixels.size() / static_cast<std::size_t>(set.image.elements()) != set.labels.size() ||
      set.pixels.size() % static_cast<std::size_t>(set.image.elements()) != 0) {
    throw DataError(fmt::format("loader: {}: {} pixel values do not make {} images of shape {}", dataset.name,
                                set.pixels.size(), set.size(), set.image.to_string()));
  }
  if (dataset.mean.size() != channels || dataset.std.size() != channels) {
    throw DataError(fmt::format("loader: {}: {} means and {} deviations, expected one per channel ({})", dataset.name,
                                dataset.mean.size(), dataset.std.size(), channels));
  }
}

void check_options(const Dataset& dataset, const ImageSet& set, std::span<const std::int64_t> indices,
                   const LoaderOptions& options) {
  if (options.batch_size < 1) {
    throw ConfigError(fmt::format("loader: batch size: expected at least 1, got {}", options.batch_size));
  }
  const auto images = static_cast<std::int64_t>(indices.size());
  if (images == 0) throw ConfigError(fmt::format("loader: {}: there are no images to draw from", dataset.name));
  if (options.drop_last && images < options.batch_size) {
    throw ConfigError(
        fmt::format("loader: {}: {} images do not fill one batch of {} (with drop_last); use a smaller batch",
                    dataset.name, images, options.batch_size));
  }
  if (images > std::numeric_limits<std::uint32_t>::max()) {
    throw ConfigError(fmt::format("loader: {}: {} images, at most 2^32 - 1 can be shuffled", dataset.name, images));
  }
  if (options.cutout_length < 0 || options.cutout_length > max_extent) {
    throw ConfigError(
        fmt::format("loader: cutout length: expected 0 to {}, got {}", max_extent, options.cutout_length));
  }
  if (dataset.crop_padding < 0 || dataset.crop_padding > max_extent) {
    throw ConfigError(fmt::format("loader: crop padding: expected 0 to {}, got {}", max_extent, dataset.crop_padding));
  }
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= set.size()) {
      throw ConfigError(fmt::format("loader: {}: index {} is not in [0, {})", dataset.name, index, set.size()));
    }
    const std::int64_t label = set.labels[static_cast<std::size_t>(index)];
    if (label < 0 || label >= dataset.classes) {
      throw DataError(fmt::format("loader: {}: image {}: label {}, expected 0 to {}", dataset.name, index, label,
                                  dataset.classes - 1));
    }
  }
}

/// Which batch.
struct Key {
  std::int64_t epoch = -1;
  std::int64_t step = -1;
  friend bool operator==(const Key&, const Key&) = default;
};

}  // namespace

/// The caller holds one slot while the thread fills the other. The thread fills what `wanted` says, and nothing else
/// touches that slot until `wanted` is empty again; so the slots' content needs no lock.
struct Loader::State {
  struct Slot {
    Key key;
    Buffer images;  // [batch, H, W, C] f32
    Buffer labels;  // [batch] i64
    std::int64_t count = 0;
    std::exception_ptr error;
  };

  State(const Dataset& dataset_, const ImageSet& set_, std::vector<std::int64_t> indices_,
        const LoaderOptions& options_)
      : dataset(dataset_), set(set_), indices(std::move(indices_)), options(options_) {
    check_set(dataset, set);
    check_options(dataset, set, indices, options);
    const std::int64_t images = size();
    batch = std::min(options.batch_size, images);
    steps = options.drop_last ? images / batch : (images + batch - 1) / batch;
    range = {dataset.crop_padding, dataset.flip, options.cutout_length, set.image[0], set.image[1]};
    order.resize(indices.size());
    const auto values = static_cast<std::size_t>(batch * set.image.elements());
    raw = Buffer(values);
    augmentations.resize(static_cast<std::size_t>(batch));
    for (Slot& slot : slots) {
      slot.images = Buffer(values * sizeof(float));
      slot.labels = Buffer(static_cast<std::size_t>(batch) * sizeof(std::int64_t));
    }
    thread = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(indices.size()); }

  void run(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    for (;;) {
      if (!changed.wait(lock, stop, [this] { return wanted.has_value(); })) return;
      Slot& slot = slots[1 - held];
      const Key key = *wanted;
      lock.unlock();
      fill(slot, key);
      lock.lock();
      wanted.reset();
      changed.notify_all();
    }
  }

  void fill(Slot& slot, Key key) noexcept {
    slot.key = key;
    slot.error = nullptr;
    try {
      prepare(slot);
    } catch (...) {
      slot.error = std::current_exception();
    }
  }

  void prepare(Slot& slot) {
    const auto epoch = static_cast<std::uint32_t>(slot.key.epoch);
    const std::int64_t first = slot.key.step * batch;  // position of the batch in the epoch
    std::int64_t first_in_order = first;
    if (options.independent) {
      std::copy(indices.begin(), indices.end(), order.begin());
      data::draw(order, static_cast<std::size_t>(batch), options.seed, options.order_stream, epoch,
                 static_cast<std::uint64_t>(first));
      first_in_order = 0;
      slot.count = batch;
    } else {
      if (order_epoch != slot.key.epoch) {
        std::copy(indices.begin(), indices.end(), order.begin());
        if (options.shuffle) data::shuffle(order, options.seed, options.order_stream, epoch);
        order_epoch = slot.key.epoch;
      }
      slot.count = std::min(batch, size() - first);
    }
    const auto image_values = static_cast<std::size_t>(set.image.elements());
    auto* const labels = reinterpret_cast<std::int64_t*>(slot.labels.data());
    const Philox draws(options.seed, options.augmentation_stream, epoch);
    for (std::int64_t i = 0; i < slot.count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const auto index = static_cast<std::size_t>(order[static_cast<std::size_t>(first_in_order + i)]);
      std::memcpy(raw.data() + at * image_values, set.pixels.data() + index * image_values, image_values);
      labels[i] = set.labels[index];
      augmentations[at] = options.augment ? data::draw_augmentation(range, draws, static_cast<std::uint64_t>(first + i))
                                          : kernels::Augmentation{};
    }
    kernels::augment(context, TensorView(raw.data(), batch_shape(slot), DType::u8),
                     std::span(augmentations).first(static_cast<std::size_t>(slot.count)), dataset.mean, dataset.std,
                     TensorView(slot.images.data(), batch_shape(slot)));
  }

  [[nodiscard]] Shape batch_shape(const Slot& slot) const {
    return {slot.count, set.image[0], set.image[1], set.image[2]};
  }

  [[nodiscard]] Key after(Key key) const noexcept {
    return options.independent || key.step + 1 < steps ? Key{key.epoch, key.step + 1} : Key{key.epoch + 1, 0};
  }

  /// Makes `key` the held batch and lets the thread go on with the one after it.
  void hold(Key key) {
    std::unique_lock lock(mutex);
    const auto idle = [this] { return !wanted.has_value(); };
    changed.wait(lock, idle);
    if (slots[1 - held].key != key) {
      wanted = key;
      changed.notify_all();
      changed.wait(lock, idle);
    }
    Slot& prepared = slots[1 - held];
    if (prepared.error) {
      prepared.key = {};  // a later call tries again
      std::rethrow_exception(std::exchange(prepared.error, nullptr));
    }
    held = 1 - held;
    if (after(key).epoch <= max_epoch) {
      wanted = after(key);
      changed.notify_all();
    }
  }

  const Dataset& dataset;
  const ImageSet& set;
  std::vector<std::int64_t> indices;
  LoaderOptions options;
  std::int64_t batch = 0;  ///< images in all batches but perhaps the last
  std::int64_t steps = 0;
  data::AugmentationRange range;
  Context context = Context::cpu(1);

  // The thread's own.
  std::vector<std::int64_t> order;
  std::int64_t order_epoch = -1;
  Buffer raw;  // [batch, H, W, C] u8
  std::vector<kernels::Augmentation> augmentations;

  std::mutex mutex;  ///< of wanted and held
  std::condition_variable_any changed;
  std::optional<Key> wanted;
  int held = 0;
  Slot slots[2];

  std::jthread thread;  // last: stopped and joined before anything it uses is gone
};

Loader::Loader(const Dataset& dataset, const ImageSet& set, std::vector<std::int64_t> indices,
               const LoaderOptions& options)
    : state_(std::make_unique<State>(dataset, set, std::move(indices), options)) {}
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;
Loader::~Loader() = default;

std::int64_t Loader::steps_per_epoch() const noexcept {
  return state_->steps;
}

std::vector<std::int64_t> Loader::batch_sizes(std::int64_t steps) const {
  const State& s = *state_;
  const std::int64_t last = s.size() % s.batch;
  const bool whole_epoch = steps >= s.steps && !s.options.drop_last && !s.options.independent;
  if (!whole_epoch || last == 0) return {s.batch};
  return {s.batch, last};
}

std::int64_t Loader::images() const noexcept {
  return state_->size();
}

std::size_t Loader::bytes() const noexcept {
  const State& s = *state_;
  std::size_t total = s.raw.bytes() + s.augmentations.size() * sizeof(kernels::Augmentation);
  for (const State::Slot& slot : s.slots)
    total += slot.images.bytes() + slot.labels.bytes();
  return total;
}

Batch Loader::get(std::int64_t epoch, std::int64_t step) {
  State& s = *state_;
  if (epoch < 0 || epoch > max_epoch) {
    throw ConfigError(fmt::format("loader: epoch {} is not in [0, {}]", epoch, max_epoch));
  }
  if (step < 0 || (step >= s.steps && !s.options.independent)) {
    throw ConfigError(fmt::format("loader: step {} is not in [0, {}) of an epoch", step, s.steps));
  }
  // The batch prepared ahead must have a position too.
  if (step > std::numeric_limits<std::int64_t>::max() / s.batch - 2) {
    throw ConfigError(fmt::format("loader: step {} of {} images: positions do not fit 64 bits", step, s.batch));
  }
  s.hold({epoch, step});
  State::Slot& slot = s.slots[s.held];
  return {TensorView(slot.images.data(), s.batch_shape(slot)),
          TensorView(slot.labels.data(), Shape{slot.count}, DType::i64)};
}

}  // namespace dnas::engine
