#include "dnas/search/search_run.hpp"

#include "dnas/engine/file.hpp"
#include "dnas/kernels/error.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "stop_signals.hpp"
#include "units.hpp"
#include "usage_error.hpp"
#include "verbs.hpp"
#include "yaml_config.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <ctime>
#include <filesystem>
#include <new>
#include <optional>
#include <string>

namespace dnas::apps {
namespace {

using search::SearchConfig;
using Json = nlohmann::ordered_json;

constexpr const char* description =
    "Searches for an architecture. Settings are the defaults of the method, then the config file, then --set, then\n"
    "flags; names and defaults are those of the official DARTS script where it has them. The defaults below are those\n"
    "of darts-v1; 'dnas list --method NAME --yaml' prints those of another method.";

constexpr const char* examples =
    "Examples:\n"
    "  dnas search --dataset digits --init_channels 8 --layers 3 --epochs 5 --out runs/first\n"
    "  dnas search --config apps/configs/quickstart.yaml --out runs/quickstart\n"
    "  dnas search --data ../data --unrolled --cutout --save EXP      (run folder: runs/search-EXP-DATE)\n"
    "  dnas search --out runs/first --resume                          (goes on where a run was stopped or killed)\n"
    "  dnas search --method darts-v1 --dataset digits --dry-run       (prints plan and settings, writes nothing)\n"
    "SIGINT, SIGTERM and SIGUSR2 stop at the next step with a checkpoint (exit code 75); a second SIGINT at once.";

/// Flags of `search` that are no settings of the search.
struct RunFlags {
  std::string out;
  std::string save;
  bool resume = false;
  bool dry_run = false;
  bool unrolled = false;
  std::string gpu;
  std::string model_path;
  std::string drop_path_prob;
};

void add_run_flags(CLI::App& app, RunFlags& flags) {
  const std::string run = "Run folder";
  app.add_option("--out", flags.out, "Folder of the run [runs/search-METHOD-SPACE-DATE]")->type_name("DIR")->group(run);
  app.add_option("--save", flags.save, "Without --out: the run folder is runs/search-NAME-DATE")
      ->type_name("NAME")
      ->group(run);
  app.add_flag("--resume", flags.resume,
               "Go on from the newest whole checkpoint in --out, with the settings stored there")
      ->group(run);
  app.add_flag("--dry_run", flags.dry_run, "Print the plan and all settings; create nothing")->group(run);
  const std::string pasted = "Of the official script";
  app.add_flag("--unrolled", flags.unrolled, "Second-order architecture gradient: the same as --bilevel unrolled")
      ->group(pasted);
  app.add_option("--gpu", flags.gpu, "Accepted, not used: searches run on the CPU")->type_name("N")->group(pasted);
  app.add_option("--model_path", flags.model_path, "Accepted, not used")->type_name("PATH")->group(pasted);
  app.add_option("--drop_path_prob", flags.drop_path_prob, "Accepted, not used by a search")
      ->type_name("X")
      ->group(pasted);
}

void warn_of_unused(const RunFlags& flags, Messages& messages) {
  if (!flags.gpu.empty())
    messages.warn("--gpu is not used: searching on a GPU is not available yet; this runs on the CPU");
  if (!flags.model_path.empty())
    messages.warn("--model_path is not used; the official search script does not use it either");
  if (!flags.drop_path_prob.empty())
    messages.warn("--drop_path_prob is not used by a search; the official search script does not use it either");
}

std::filesystem::path default_folder(const RunFlags& flags, const SearchConfig& config) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char date[32];
  std::strftime(date, sizeof(date), "%Y%m%d-%H%M%S", &local);
  const std::string name = flags.save.empty() ? config.method + "-" + config.space : flags.save;
  return std::filesystem::path("runs") / fmt::format("search-{}-{}", name, date);
}

/// The configuration that a run was started with; std::nullopt if the folder holds none.
std::optional<SearchConfig> stored_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  if (!std::filesystem::exists(file)) return std::nullopt;
  return search::config_from_json(engine::read_text(file));
}

Json plan_json(const search::SearchPlan& plan) {
  return {{"parameters", plan.parameters},
          {"alphas", plan.alphas},
          {"steps_per_epoch", plan.steps_per_epoch},
          {"epochs", plan.epochs},
          {"train_images", plan.train_images},
          {"arch_images", plan.arch_images},
          {"nodes", plan.nodes},
          {"recomputed", plan.recomputed},
          {"threads", plan.threads},
          {"memory",
           {{"activations", plan.memory.activations},
            {"weights", plan.memory.weights},
            {"data", plan.memory.data},
            {"total", plan.memory.total()}}}};
}

void print_dry_run(const SearchConfig& config, bool json) {
  const search::SearchPlan plan = search::plan_search(config);
  if (json) {
    fmt::print("{}\n", Json{{"config", Json::parse(search::to_json(config))}, {"plan", plan_json(plan)}}.dump(2));
    return;
  }
  fmt::print("{}\n\n", plan_text(plan));
  for (const search::ConfigField& field : search::config_fields())
    fmt::print("{}: {}\n", field.name, yaml_scalar(field_text(field, config)));
}

void print_outcome(const search::SearchOutcome& outcome, const std::filesystem::path& folder, bool json) {
  if (json) {
    Json files = Json::array();
    for (const std::filesystem::path& file : outcome.files)
      files.push_back(file.string());
    Json result = {{"finished", outcome.finished}, {"global_step", outcome.global_step}, {"folder", folder.string()}};
    result["valid_top1"] = std::isnan(outcome.valid_top1) ? Json(nullptr) : Json(outcome.valid_top1);
    if (outcome.finished) {
      result["genotype"] = Json::parse(search::to_json(outcome.genotype));
      result["genotype_text"] = search::to_text(outcome.genotype);
    }
    result["files"] = std::move(files);
    fmt::print("{}\n", result.dump(2));
    return;
  }
  if (!outcome.finished) return;
  fmt::print("{}\n", search::to_text(outcome.genotype));
  for (const std::filesystem::path& file : outcome.files)
    fmt::print("{}\n", file.string());
}

ExitCode search_in_folder(const SearchConfig& config, const std::filesystem::path& folder, const RunFlags& flags,
                          bool json, Messages& messages) {
  const StopSignals signals;
  SearchProgress progress(messages, signals);
  messages.info(fmt::format("run folder {}", folder.string()));
  search::SearchOutcome outcome;
  try {
    outcome =
        search::run_search(config, folder, flags.resume ? search::Resume::automatic : search::Resume::never, progress);
  } catch (const std::bad_alloc&) {
    messages.status("");
    messages.error("out of memory");
    if (progress.plan().memory.total() > 0) messages.hint(memory_text(progress.plan()));
    return ExitCode::unavailable;
  }
  messages.status("");
  print_outcome(outcome, folder, json);
  if (outcome.finished) return ExitCode::done;
  messages.warn(fmt::format("stopped after step {} with a checkpoint; go on with: dnas search --out {} --resume",
                            with_commas(outcome.global_step), folder.string()));
  return ExitCode::stopped;
}

void check_run_flags(const RunFlags& flags) {
  if (flags.resume && flags.out.empty())
    throw UsageError("--resume needs --out DIR, the folder of the run to go on with");
  if (flags.save.find('/') != std::string::npos)
    throw UsageError(fmt::format("--save '{}': takes a name, not a path; --out takes a folder", flags.save));
}

}  // namespace

ExitCode run_search_verb(const Arguments& arguments, Messages& messages) {
  VerbParser parser("search", description);
  parser.app().footer(examples);
  RunFlags flags;
  add_run_flags(parser.app(), flags);
  parser.add_output_flags(messages);
  const ConfigOptions options(parser.app());
  if (!parser.parse(arguments)) return ExitCode::done;
  check_run_flags(flags);

  std::vector<std::pair<std::string, std::string>> implied;
  if (flags.unrolled) implied.emplace_back("bilevel", "unrolled");
  const std::optional<SearchConfig> stored = flags.resume ? stored_config(flags.out) : std::nullopt;
  if (flags.resume && !stored) {
    messages.warn(fmt::format("{} holds no run to go on with; this starts a new one", flags.out));
  }
  const SearchConfig config = options.resolve(stored, implied);
  warn_of_unused(flags, messages);
  if (flags.dry_run) {
    print_dry_run(config, parser.json());
    return ExitCode::done;
  }
  const std::filesystem::path folder =
      flags.out.empty() ? default_folder(flags, config) : std::filesystem::path(flags.out);
  return search_in_folder(config, folder, flags, parser.json(), messages);
}

}  // namespace dnas::apps
