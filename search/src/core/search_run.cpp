#include "dnas/search/search_run.hpp"

#include "core/run_outputs.hpp"
#include "core/search_checkpoint.hpp"
#include "core/session.hpp"

#include "dnas/engine/file.hpp"
#include "dnas/engine/line_log.hpp"
#include "dnas/engine/metrics.hpp"
#include "dnas/engine/run_folder.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/kernels/optimizer_step.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <ctime>
#include <limits>
#include <optional>

namespace dnas::search {

namespace {

constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

/// "11/24 03:25:47 AM ", as the official script stamps its lines.
std::string timestamp() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%m/%d %I:%M:%S %p ", &local);
  return {text.data(), length};
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// One run: the loop over epochs and steps, and what it leaves in its folder.
class Run {
 public:
  Run(Session& session, const std::filesystem::path& folder, const Progress& progress, SearchObserver& observer)
      : session_(session),
        folder_(folder),
        observer_(observer),
        checkpoints_(folder, static_cast<int>(session.config.keep_checkpoints)),
        metrics_(folder / "metrics.jsonl", progress.metrics_lines),
        log_(folder / "log.txt", progress.log_lines),
        progress_(progress) {
    // Noise is keyed by the last step taken, also right after resuming.
    if (progress_.global_step > 0) session_.model().state.step = static_cast<std::uint32_t>(progress_.global_step - 1);
  }

  SearchOutcome run() {
    SearchOutcome outcome;
    if (progress_.global_step == 0) {
      log(fmt::format("param size = {:.6f}MB",
                      static_cast<double>(session_.model().net.tables().parameters->count()) / 1e6));
    }
    while (progress_.epoch < session_.config.epochs && progress_.stopped_with.empty()) {
      if (!run_epoch()) {
        outcome.global_step = progress_.global_step;
        outcome.genotype = session_.model().genotype();
        outcome.valid_top1 = not_measured;
        return outcome;
      }
    }
    outcome.finished = true;
    outcome.global_step = progress_.global_step;
    outcome.genotype =
        progress_.stopped_with.empty() ? session_.model().genotype() : parse_genotype(progress_.stopped_with);
    outcome.valid_top1 = session_.config.validate ? progress_.valid_top1 : not_measured;
    outcome.files = write_outputs(folder_, outcome.genotype);
    outcome.files.push_back(folder_ / "metrics.jsonl");
    outcome.files.push_back(folder_ / "log.txt");
    return outcome;
  }

 private:
  /// The rest of the present epoch. False if the observer stopped it.
  bool run_epoch() {
    const auto start = std::chrono::steady_clock::now();
    const Schedule schedule = session_.begin_epoch(progress_.epoch);
    updates_alpha_ = schedule.update_alpha;
    if (progress_.step == 0) {
      progress_.train = {};
      log(fmt::format("epoch {} lr {:e}", progress_.epoch, schedule.learning_rate));
      log("genotype = " + to_text(session_.model().genotype()));
    }
    const std::int64_t first_step = progress_.step;
    const std::int64_t steps = session_.steps();
    while (progress_.step < steps) {
      step();
      if (observer_.stop_requested()) {
        save(log_.lines());
        return false;
      }
      const std::int64_t every = session_.config.checkpoint_steps;
      if (every > 0 && progress_.step < steps && progress_.global_step % every == 0) save(log_.lines());
    }
    const double seconds = seconds_since(start);
    return finish_epoch(schedule, static_cast<double>(steps - first_step) / seconds, seconds);
  }

  void step() {
    SearchState& state = session_.model().state;
    state.step = static_cast<std::uint32_t>(progress_.global_step);
    state.update_alpha = updates_alpha_ && progress_.step % session_.config.arch_every == 0;
    const engine::Batch train = session_.train_loader().get(progress_.epoch, progress_.step);
    const engine::Batch arch = session_.arch_loader().get(progress_.epoch, progress_.step);
    const BilevelStep::Result result = session_.model().bilevel->step(state, train, arch);
    Meter& meter = progress_.train;
    meter.add(result.train_loss, result.train_logits, train.labels);
    const StepReport report{.epoch = progress_.epoch,
                            .step = progress_.step,
                            .global_step = progress_.global_step + 1,
                            .loss = meter.loss(),
                            .top1 = meter.top1(),
                            .top5 = meter.top5()};
    if (progress_.step % session_.config.report_freq == 0) {
      log(fmt::format("train {:03d} {:e} {:f} {:f}", report.step, report.loss, report.top1, report.top5));
      metrics_.write("train", {{"epoch", report.epoch},
                               {"step", report.step},
                               {"global_step", report.global_step},
                               {"loss", report.loss},
                               {"batch_loss", result.train_loss},
                               {"top1", report.top1},
                               {"top5", report.top5},
                               {"lr", state.learning_rate}});
    }
    ++progress_.step;
    ++progress_.global_step;
    observer_.on_step(report);
  }

  /// A run could never go on from a checkpoint with such weights.
  void check_weights() const {
    if (!std::isfinite(kernels::squared_norm(session_.model().ctx, session_.model().weights.flat()))) {
      throw NumericalError(fmt::format(
          "a weight is not finite after step {}; lower the learning rate or clip the gradient", progress_.global_step));
    }
  }

  /// std::nullopt if the observer stopped it.
  std::optional<Meter> validate() {
    Meter meter;
    const std::int64_t steps = session_.validation_steps();
    for (std::int64_t i = 0; i < steps; ++i) {
      const engine::Batch batch = session_.validation_loader().get(0, i);
      const Supernet::Result& result = session_.model().validate(batch);
      meter.add(result.loss, result.logits, batch.labels);
      if (i % session_.config.report_freq == 0) {
        log(fmt::format("valid {:03d} {:e} {:f} {:f}", i, meter.loss(), meter.top1(), meter.top5()));
      }
      observer_.on_validation(i, steps);
      if (observer_.stop_requested()) return std::nullopt;
    }
    return meter;
  }

  /// Validation, records and checkpoint. False if the observer stopped it; a resumed run then begins here again.
  bool finish_epoch(const Schedule& schedule, double steps_per_second, double seconds) {
    const std::uint64_t log_lines = log_.lines();
    log(fmt::format("train_acc {:f}", progress_.train.top1()));
    EpochReport report;
    report.genotype = session_.model().genotype();
    report.epoch = progress_.epoch;
    report.learning_rate = schedule.learning_rate;
    report.train_loss = progress_.train.loss();
    report.train_top1 = progress_.train.top1();
    report.seconds = seconds;
    report.valid_loss = not_measured;
    report.valid_top1 = not_measured;
    if (session_.config.validate) {
      save(log_lines);  // validation may take long; a resumed run begins with it
      const std::optional<Meter> valid = validate();
      if (!valid) return false;
      if (!std::isfinite(valid->loss())) {
        observer_.on_warning("the validation loss is not finite: running statistics and weights do not fit each other");
      }
      report.valid_loss = valid->loss();
      report.valid_top1 = valid->top1();
      log(fmt::format("valid_acc {:f}", report.valid_top1));
    }
    engine::Metrics record{{"epoch", report.epoch},
                           {"global_step", progress_.global_step},
                           {"lr", report.learning_rate},
                           {"train_loss", report.train_loss},
                           {"train_top1", report.train_top1},
                           {"valid_loss", report.valid_loss},
                           {"valid_top1", report.valid_top1},
                           {"steps_per_second", steps_per_second},
                           {"genotype", to_text(report.genotype)}};
    session_.model().state.relax(Phase::expected);
    const auto shares = session_.model().architecture.shares();
    for (std::size_t g = 0; g < shares.size(); ++g) {
      const float* values = shares[g].f32();
      record.emplace_back("mix_" + session_.model().architecture.groups()[g].name,
                          std::vector<double>(values, values + shares[g].elements()));
    }
    metrics_.write("epoch", record);
    progress_.valid_top1 = session_.config.validate ? report.valid_top1 : 0.0;
    run_controllers(schedule, report);
    ++progress_.epoch;
    progress_.step = 0;
    progress_.train = {};
    save(log_.lines());
    observer_.on_epoch(report);
    return true;
  }

  /// What controllers decide at the end of an epoch.
  void run_controllers(const Schedule& schedule, const EpochReport& report) {
    SearchModel& model = session_.model();
    EpochEnd end{.config = session_.config,
                 .epoch = progress_.epoch,
                 .schedule = schedule,
                 .state = model.state,
                 .space = *model.space,
                 .genotype = report.genotype,
                 .valid_top1 = report.valid_top1,
                 .arch_batch = [&](std::int64_t i) { return session_.validation_loader().get(0, i); },
                 .log = [&](const std::string& line) { log(line); },
                 .stop_with = {},
                 .roll_back_to = {}};
    for (const auto& controller : session_.controllers) {
      model.state.relax(Phase::expected);
      controller->end_epoch(end);
    }
    if (end.stop_with) progress_.stopped_with = to_json(*end.stop_with);
  }

  /// `log_lines`: how much of the log belongs to the checkpoint.
  void save(std::uint64_t log_lines) {
    check_weights();
    metrics_.sync();
    log_.sync();
    progress_.metrics_lines = metrics_.lines();
    progress_.log_lines = log_lines;
    save_checkpoint(checkpoints_, session_, progress_);
  }

  void log(const std::string& line) {
    log_.write(timestamp() + line);
    observer_.on_log(line);
  }

  Session& session_;
  std::filesystem::path folder_;
  SearchObserver& observer_;
  engine::CheckpointStore checkpoints_;
  engine::MetricsLog metrics_;
  engine::LineLog log_;
  Progress progress_;
  bool updates_alpha_ = true;  // in this epoch
};

/// Nothing that could be a run's, or somebody's files of the same name, is ever overwritten.
void refuse_used_folder(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder)) return;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name == "config.json" || name == "metrics.jsonl" || name == "log.txt" || name.starts_with("ckpt-")) {
      throw ConfigError(fmt::format("{} holds a run already ({}); go on with it by --resume, or choose another folder",
                                    folder.string(), name));
    }
  }
}

}  // namespace

SearchPlan plan_search(const SearchConfig& config) {
  return Session(config).plan();
}

SearchOutcome run_search(const SearchConfig& config, const std::filesystem::path& folder_path, Resume resume,
                         SearchObserver& observer) {
  if (resume == Resume::never) refuse_used_folder(folder_path);
  Session session(config);
  const engine::RunFolder folder(folder_path);
  if (resume == Resume::never) refuse_used_folder(folder_path);  // another process may have been faster

  Progress progress;
  if (resume == Resume::automatic) {
    std::vector<std::string> damaged;
    const engine::CheckpointStore store(folder.path(), static_cast<int>(config.keep_checkpoints));
    const auto checkpoint = store.newest(damaged);
    for (const std::string& what : damaged)
      observer.on_warning(what);
    if (checkpoint) {
      progress = load_checkpoint(*checkpoint, session);
      observer.on_resume(progress.global_step, checkpoint->folder);
    } else if (!std::filesystem::exists(folder.path() / "config.json")) {
      refuse_used_folder(folder.path());  // logs without a run are somebody else's
    }
  }
  observer.on_plan(session.plan());
  session.model().net.allocate();
  engine::write_text_atomically(folder.path() / "config.json", to_json(config) + "\n");
  return Run(session, folder.path(), progress, observer).run();
}

}  // namespace dnas::search
