#include "bench_report.hpp"
#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/kernels/rng.hpp"
#include "dnas/search/search_model.hpp"
#include "options.hpp"
#include "units.hpp"
#include "usage_error.hpp"
#include "verbs.hpp"

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dnas::apps {
namespace {

using search::NetworkConfig;
using search::SearchConfig;
using search::Want;

constexpr const char* description =
    "Measures the steps of a search on random images: the time of each, memory, and with --profile the time of every\n"
    "kind of operation. No data set is needed; --dataset gives the size of the images and the number of classes.\n"
    "  weights  forward, backward, clipping, SGD\n"
    "  arch     architecture gradient, as --bilevel forms it, and the update of alpha\n"
    "  search   both, as a search does";

constexpr const char* examples =
    "Examples:\n"
    "  dnas bench                                      (the official CIFAR-10 search)\n"
    "  dnas bench --dataset digits --init_channels 8 --layers 3 --step weights --profile\n"
    "  dnas bench --unrolled --step arch --threads 1 --format csv";

struct BenchFlags {
  std::string step = "search";
  int repeat = 10;
  int warmup = 2;
  bool profile = false;
  std::string format = "table";
  std::string image;
  int classes = 0;
  bool unrolled = false;
};

void add_bench_flags(CLI::App& app, BenchFlags& flags) {
  const std::string group = "Measurement";
  app.add_option("--step", flags.step, "What is measured: weights, arch, search or all of them [search]")
      ->type_name("STEP")
      ->check(CLI::IsMember({"weights", "arch", "search", "all"}))
      ->group(group);
  app.add_option("--repeat", flags.repeat, "Measured repetitions [10]")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->group(group);
  app.add_option("--warmup", flags.warmup, "Repetitions before that [2]")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000))
      ->group(group);
  app.add_flag("--profile", flags.profile,
               "Also the time of every kind of operation, from as many repetitions of their own")
      ->group(group);
  app.add_option("--format", flags.format, "Of the result on stdout: table, json or csv [table]")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json", "csv"}))
      ->group(group);
  app.add_option("--image", flags.image, "Extents of an image in pixels, and its channels [those of the data set]")
      ->type_name("HxWxC")
      ->group("Network");
  app.add_option("--classes", flags.classes, "Number of classes [that of the data set]")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20))
      ->group("Network");
  app.add_flag("--unrolled", flags.unrolled, "Second-order architecture gradient: the same as --bilevel unrolled")
      ->group("Of the official script");
}

NetworkConfig network_config(const BenchFlags& flags, const SearchConfig& config) {
  const engine::DatasetEntry& dataset = engine::datasets().at(config.dataset);
  return {.init_channels = config.init_channels,
          .layers = static_cast<int>(config.layers),
          .classes = flags.classes > 0 ? flags.classes : dataset.classes,
          .batch = config.batch_size,
          .image = flags.image.empty() ? dataset.image : parse_image(flags.image)};
}

/// Normal pixels and uniform labels.
class RandomBatch {
 public:
  RandomBatch(const NetworkConfig& network, std::uint64_t seed, std::uint32_t number)
      : shape_{network.batch, network.image[0], network.image[1], network.image[2]},
        images_(static_cast<std::size_t>(shape_.elements()) * sizeof(float)),
        labels_(static_cast<std::size_t>(network.batch)) {
    const Philox random(seed, Stream::synthetic_data, number);
    std::uint64_t element = 0;
    for (float& pixel : images_.f32())
      pixel = random.normal(element++);
    for (std::int64_t& label : labels_)
      label = random.below(element++, static_cast<std::uint32_t>(network.classes));
  }

  [[nodiscard]] engine::Batch batch() {
    return {{images_.data(), shape_}, {labels_.data(), Shape{shape_[0]}, DType::i64}};
  }

 private:
  Shape shape_;
  Buffer images_;
  std::vector<std::int64_t> labels_;
};

/// A search without its data, and two batches.
class Bench {
 public:
  Bench(const SearchConfig& config, const NetworkConfig& network) : model_(config, network) {
    const auto controllers = search::make_parts(search::controllers(), config.controllers);
    model_.begin_epoch(0, search::schedule_of(config, controllers, 0));
    model_.net.set_memory_budget(search::arena_budget(config, model_.bytes()));
  }

  /// What to call for one step of this kind, planned.
  [[nodiscard]] std::function<void()> step(const std::string& name) {
    const std::int64_t batch = model_.net.config().batch;
    if (name != "arch") model_.prepare_weight_step(batch);
    if (name != "weights") model_.prepare_arch_step(batch, batch);
    if (name == "weights") return [this] { run(false); };
    if (name == "search") return [this] { run(true); };
    return [this] {
      model_.state.relax(search::Phase::arch_step);
      model_.bilevel->arch_gradient(model_.state, train_->batch(), arch_->batch());
      model_.state.update_architecture();
      ++model_.state.step;
    };
  }

  /// Makes the images, and allocates what was planned. Once, after all steps are planned and before one runs.
  void allocate() {
    train_.emplace(model_.net.config(), model_.state.seed, 0);
    arch_.emplace(model_.net.config(), model_.state.seed, 1);
    model_.net.allocate();
  }

  [[nodiscard]] search::Supernet& net() noexcept { return model_.net; }

 private:
  void run(bool update_alpha) {
    model_.state.update_alpha = update_alpha;
    model_.bilevel->step(model_.state, train_->batch(), arch_->batch());
    ++model_.state.step;
  }

  search::SearchModel model_;
  std::optional<RandomBatch> train_;
  std::optional<RandomBatch> arch_;
};

double seconds_of(const std::function<void()>& step) {
  const auto start = std::chrono::steady_clock::now();
  step();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Per step, on average over `repeat` of them.
void add_profile(search::Supernet& net, const std::function<void()>& step, int repeat, BenchReport::Step& result) {
  OpProfile profile;
  net.observe(&profile);
  double total = 0.0;
  for (int i = 0; i < repeat; ++i)
    total += seconds_of(step);
  net.observe(nullptr);
  double outside = total;
  result.profile = profile.entries();
  for (OpProfile::Entry& entry : result.profile) {
    outside -= entry.seconds;
    entry.seconds /= repeat;
    entry.calls /= repeat;
  }
  result.profiled_seconds = total / repeat;
  result.profile.push_back({"outside", "optimizers and copies", 1, outside / repeat});
}

BenchReport measure(const SearchConfig& config, const NetworkConfig& network, const BenchFlags& flags,
                    Messages& messages) {
  BenchReport report;
  report.config = config;
  report.network = network;
  report.machine = machine_info();
  const auto bench = [&] {
    try {
      return std::make_unique<Bench>(config, network);
    } catch (const ShapeError& error) {
      throw ConfigError(error.what());  // the sizes came from the command line
    }
  }();
  report.threads = bench->net().context().threads();
  const std::vector<std::string> names = flags.step == "all" ? std::vector<std::string>{"weights", "arch", "search"}
                                                             : std::vector<std::string>{flags.step};
  std::vector<std::function<void()>> steps;  // all planned before the first runs, as the plans share an arena
  steps.reserve(names.size());
  for (const std::string& name : names)
    steps.push_back(bench->step(name));
  report.arena_bytes = bench->net().arena_bytes();
  messages.info(fmt::format("planned arena {}", bytes_text(report.arena_bytes)));
  bench->allocate();
  for (std::size_t s = 0; s < names.size(); ++s) {
    BenchReport::Step result;
    result.name = names[s];
    for (int i = 0; i < flags.warmup + flags.repeat; ++i) {
      messages.status(fmt::format("{} step, {} of {}", names[s], i + 1, flags.warmup + flags.repeat));
      const double seconds = seconds_of(steps[s]);
      if (i >= flags.warmup) result.seconds.push_back(seconds);
    }
    if (flags.profile) add_profile(bench->net(), steps[s], flags.repeat, result);
    report.steps.push_back(std::move(result));
  }
  messages.status("");
  report.peak_bytes = peak_memory();
  return report;
}

}  // namespace

ExitCode run_bench_verb(const Arguments& arguments, Messages& messages) {
  VerbParser parser("bench", description);
  parser.app().footer(examples);
  BenchFlags flags;
  add_bench_flags(parser.app(), flags);
  parser.add_output_flags(messages);
  const ConfigOptions options(
      parser.app(), {"method", "space", "relaxation", "edge_weighting", "transforms", "perturbation", "bilevel",
                     "arch_optimizer", "loss_terms", "dataset", "init_channels", "layers", "batch_size", "grad_clip",
                     "label_smoothing", "seed", "threads", "fusion", "memory_budget"});
  if (!parser.parse(arguments)) return ExitCode::done;
  const std::string& format = parser.json() ? "json" : flags.format;
  if (parser.json() && flags.format == "csv") throw UsageError("--json and --format csv exclude each other");

  std::vector<std::pair<std::string, std::string>> implied;
  if (flags.unrolled) implied.emplace_back("bilevel", "unrolled");
  const SearchConfig config = options.resolve(std::nullopt, implied);
  const BenchReport report = measure(config, network_config(flags, config), flags, messages);
  fmt::print("{}", format == "json" ? bench_json(report) : format == "csv" ? bench_csv(report) : bench_table(report));
  return ExitCode::done;
}

}  // namespace dnas::apps
