#pragma once

#include "dnas/search/config.hpp"
#include "dnas/search/genotype.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::search {

/// Memory of a search, by planning; nothing of it is allocated later than before the first step.
struct MemoryReport {
  std::size_t activations = 0;  ///< the arena: activations, their gradients, scratch
  std::size_t weights = 0;      ///< weights, gradients, momentum, running statistics, second weight buffers
  std::size_t data = 0;         ///< images and prepared batches
  [[nodiscard]] std::size_t total() const noexcept { return activations + weights + data; }
};

/// What a search is about to do.
struct SearchPlan {
  MemoryReport memory;
  std::int64_t parameters = 0;
  std::int64_t alphas = 0;
  std::int64_t steps_per_epoch = 0;
  std::int64_t epochs = 0;
  std::int64_t train_images = 0;
  std::int64_t arch_images = 0;
  std::size_t nodes = 0;       ///< of the largest plan
  std::size_t recomputed = 0;  ///< nodes that run twice to keep within the memory budget, in the plan with the most
  int threads = 0;
};

/// Where a search stands, after a step.
struct StepReport {
  std::int64_t epoch = 0;
  std::int64_t step = 0;         ///< within the epoch
  std::int64_t global_step = 0;  ///< steps done since the start of the search
  double loss = 0.0;             ///< running mean of the epoch
  double top1 = 0.0;             ///< likewise, percent
  double top5 = 0.0;
};

/// After an epoch.
struct EpochReport {
  std::int64_t epoch = 0;
  double learning_rate = 0.0;
  double train_loss = 0.0;
  double train_top1 = 0.0;
  double valid_loss = 0.0;  ///< NaN if not measured
  double valid_top1 = 0.0;
  double seconds = 0.0;
  Genotype genotype;
};

/// Who watches a search. All calls come from the thread that runs it.
class SearchObserver {
 public:
  virtual ~SearchObserver() = default;
  virtual void on_plan(const SearchPlan& /*plan*/) {}
  virtual void on_resume(std::int64_t /*global_step*/, const std::filesystem::path& /*checkpoint*/) {}
  virtual void on_step(const StepReport& /*report*/) {}
  virtual void on_validation(std::int64_t /*step*/, std::int64_t /*steps*/) {}
  virtual void on_epoch(const EpochReport& /*report*/) {}
  /// Lines of the official log: "epoch 0 lr 2.5e-02", "train 050 ...", "genotype = ...".
  virtual void on_log(std::string_view /*line*/) {}
  virtual void on_warning(std::string_view /*message*/) {}
  /// Asked after each step; true ends the search with a checkpoint.
  virtual bool stop_requested() { return false; }
};

enum class Resume : std::uint8_t {
  never,     ///< the folder must not hold a run
  automatic  ///< go on from the newest whole checkpoint; start anew if there is none
};

struct SearchOutcome {
  bool finished = false;  ///< false: stopped on request, with a checkpoint
  std::int64_t global_step = 0;
  Genotype genotype;
  double valid_top1 = 0.0;                   ///< percent; NaN if not measured
  std::vector<std::filesystem::path> files;  ///< genotype.txt, genotype.json, drawings, metrics, log
};

/// Plans a search without running it: reads the data, builds and plans the network, writes nothing.
[[nodiscard]] SearchPlan plan_search(const SearchConfig& config);

/// Runs a search in a folder: config.json, checkpoints, metrics.jsonl, log.txt and, in the end, genotype.txt,
/// genotype.json, <cell>.svg and <cell>.dot. Killed at any instant and resumed, it ends with the same bytes in the
/// final checkpoint as if it had never stopped.
/// @throws ConfigError (all problems of the configuration; folder in use; another configuration on resume), DataError,
///         MissingError, IoError, NumericalError
SearchOutcome run_search(const SearchConfig& config, const std::filesystem::path& folder, Resume resume,
                         SearchObserver& observer);

}  // namespace dnas::search
