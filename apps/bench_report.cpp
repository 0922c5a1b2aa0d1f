#include "bench_report.hpp"

#include "units.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <numeric>

namespace dnas::apps {
namespace {

using Json = nlohmann::ordered_json;

struct Summary {
  double median_ms, min_ms, max_ms, images_per_second;
};

Summary summary(const BenchReport& report, const BenchReport::Step& step) {
  const double middle = median(step.seconds);
  const auto [least, most] = std::minmax_element(step.seconds.begin(), step.seconds.end());
  return {1e3 * middle, 1e3 * *least, 1e3 * *most, static_cast<double>(report.network.batch) / middle};
}

double share(const BenchReport::Step& step, double seconds) {
  return step.profiled_seconds > 0.0 ? seconds / step.profiled_seconds : 0.0;
}

bool has_profile(const BenchReport& report) {
  return std::any_of(report.steps.begin(), report.steps.end(), [](const auto& step) { return !step.profile.empty(); });
}

}  // namespace

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

std::string bench_table(const BenchReport& report) {
  std::string text;
  auto to = std::back_inserter(text);
  const search::NetworkConfig& net = report.network;
  const MachineInfo& machine = report.machine;
  fmt::format_to(to, "supernet of space {}: {} channels, {} layers, {} classes, batch {} of {}x{}x{}; {}\n",
                 report.config.space, net.init_channels, net.layers, net.classes, net.batch, net.image[0], net.image[1],
                 net.image[2], report.config.bilevel);
  fmt::format_to(to, "dnas {}, {} {}; {} ({}), {} of {} processors, {}\n", machine.version, machine.compiler,
                 machine.build_type, machine.cpu, machine.isa, report.threads, machine.processors, machine.system);
  fmt::format_to(to, "planned arena {}, peak memory of the process {}\n\n", bytes_text(report.arena_bytes),
                 bytes_text(report.peak_bytes));
  fmt::format_to(to, "{:<8} {:>6} {:>10} {:>10} {:>10} {:>10}\n", "step", "repeat", "median ms", "min ms", "max ms",
                 "images/s");
  for (const BenchReport::Step& step : report.steps) {
    const Summary s = summary(report, step);
    fmt::format_to(to, "{:<8} {:>6} {:>10.2f} {:>10.2f} {:>10.2f} {:>10.1f}\n", step.name, step.seconds.size(),
                   s.median_ms, s.min_ms, s.max_ms, s.images_per_second);
  }
  for (const BenchReport::Step& step : report.steps) {
    if (step.profile.empty()) continue;
    fmt::format_to(to, "\n{} step, {:.2f} ms with profiling\n{:<9} {:<30} {:>6} {:>10} {:>7}\n", step.name,
                   1e3 * step.profiled_seconds, "pass", "operation", "calls", "ms", "share");
    for (const OpProfile::Entry& entry : step.profile) {
      fmt::format_to(to, "{:<9} {:<30} {:>6} {:>10.3f} {:>6.1f}%\n", entry.pass, entry.kind, entry.calls,
                     1e3 * entry.seconds, 100.0 * share(step, entry.seconds));
    }
    for (const std::string pass : {"forward", "backward", "outside"}) {
      OpProfile::Entry sum;
      for (const OpProfile::Entry& entry : step.profile) {
        if (entry.pass != pass) continue;
        sum.calls += entry.calls;
        sum.seconds += entry.seconds;
      }
      fmt::format_to(to, "{:<9} {:<30} {:>6} {:>10.3f} {:>6.1f}%\n", pass, "(all)", sum.calls, 1e3 * sum.seconds,
                     100.0 * share(step, sum.seconds));
    }
  }
  return text;
}

std::string bench_json(const BenchReport& report) {
  const search::NetworkConfig& net = report.network;
  const MachineInfo& machine = report.machine;
  Json steps = Json::array();
  for (const BenchReport::Step& step : report.steps) {
    const Summary s = summary(report, step);
    std::vector<double> times(step.seconds);
    for (double& time : times)
      time *= 1e3;
    Json entry = {{"step", step.name},        {"repeat", step.seconds.size()},
                  {"median_ms", s.median_ms}, {"min_ms", s.min_ms},
                  {"max_ms", s.max_ms},       {"images_per_second", s.images_per_second},
                  {"times_ms", times}};
    if (!step.profile.empty()) {
      Json profile = Json::array();
      for (const OpProfile::Entry& e : step.profile) {
        profile.push_back({{"pass", e.pass},
                           {"operation", e.kind},
                           {"calls", e.calls},
                           {"ms", 1e3 * e.seconds},
                           {"share", share(step, e.seconds)}});
      }
      entry["profiled_ms"] = 1e3 * step.profiled_seconds;
      entry["profile"] = std::move(profile);
    }
    steps.push_back(std::move(entry));
  }
  return Json{{"network",
               {{"space", report.config.space},
                {"bilevel", report.config.bilevel},
                {"init_channels", net.init_channels},
                {"layers", net.layers},
                {"classes", net.classes},
                {"image", {net.image[0], net.image[1], net.image[2]}},
                {"batch_size", net.batch}}},
              {"build",
               {{"version", machine.version}, {"compiler", machine.compiler}, {"build_type", machine.build_type}}},
              {"machine",
               {{"cpu", machine.cpu},
                {"isa", machine.isa},
                {"system", machine.system},
                {"processors", machine.processors},
                {"threads", report.threads}}},
              {"memory", {{"arena_bytes", report.arena_bytes}, {"peak_bytes", report.peak_bytes}}},
              {"steps", std::move(steps)}}
             .dump(2) +
         "\n";
}

std::string bench_csv(const BenchReport& report) {
  std::string text;
  auto to = std::back_inserter(text);
  if (has_profile(report)) {
    fmt::format_to(to, "step,pass,operation,calls,ms,share\n");
    for (const BenchReport::Step& step : report.steps) {
      for (const OpProfile::Entry& e : step.profile) {
        fmt::format_to(to, "{},{},{},{},{:.6f},{:.6f}\n", step.name, e.pass, e.kind, e.calls, 1e3 * e.seconds,
                       share(step, e.seconds));
      }
    }
    return text;
  }
  fmt::format_to(to, "step,repeat,median_ms,min_ms,max_ms,images_per_second,threads,arena_bytes,peak_bytes\n");
  for (const BenchReport::Step& step : report.steps) {
    const Summary s = summary(report, step);
    fmt::format_to(to, "{},{},{:.6f},{:.6f},{:.6f},{:.3f},{},{},{}\n", step.name, step.seconds.size(), s.median_ms,
                   s.min_ms, s.max_ms, s.images_per_second, report.threads, report.arena_bytes, report.peak_bytes);
  }
  return text;
}

}  // namespace dnas::apps
