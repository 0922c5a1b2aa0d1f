#include "progress.hpp"

#include "terminal.hpp"
#include "units.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace dnas::apps {
namespace {

constexpr auto redraw_interval = std::chrono::milliseconds(100);

std::size_t machine_memory() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGE_SIZE));
}

std::string bar(std::int64_t done, std::int64_t of, int width) {
  const std::int64_t filled = of > 0 ? std::clamp<std::int64_t>(done * width / of, 0, width) : 0;
  std::string text(static_cast<std::size_t>(width), ' ');
  std::fill_n(text.begin(), filled, '=');
  if (filled > 0 && filled < width) text[static_cast<std::size_t>(filled - 1)] = '>';
  return "[" + text + "]";
}

}  // namespace

std::string plan_text(const search::SearchPlan& plan) {
  return fmt::format(
      "{} weights and {} architecture parameters on {} thread{}, {} nodes in the largest plan{}\n"
      "{} images for the weights, {} for the architecture; {} epochs of {} steps\n"
      "peak memory {}: activations {}, weights {}, data {}",
      with_commas(plan.parameters), with_commas(plan.alphas), plan.threads, plan.threads == 1 ? "" : "s", plan.nodes,
      plan.recomputed == 0 ? "" : fmt::format("; up to {} nodes a step computed again to save memory", plan.recomputed),
      with_commas(plan.train_images), with_commas(plan.arch_images), plan.epochs, with_commas(plan.steps_per_epoch),
      bytes_text(plan.memory.total()), bytes_text(plan.memory.activations), bytes_text(plan.memory.weights),
      bytes_text(plan.memory.data));
}

std::string memory_text(const search::SearchPlan& plan) {
  return fmt::format(
      "the search needs {} by plan and this machine has {}; a smaller --batch_size, --init_channels or --layers "
      "needs less, and --memory_budget trades time for memory",
      bytes_text(plan.memory.total()), bytes_text(machine_memory()));
}

void SearchProgress::on_plan(const search::SearchPlan& plan) {
  plan_ = plan;
  start_ = Clock::now();
  messages_.info(plan_text(plan));
  // Said before the memory is touched: the kernel may promise more than there is and end the process later.
  if (plan.memory.total() > machine_memory()) messages_.warn(memory_text(plan));
}

void SearchProgress::on_resume(std::int64_t global_step, const std::filesystem::path& checkpoint) {
  first_step_ = global_step_ = global_step;
  start_ = Clock::now();
  messages_.info(fmt::format("going on after step {} from {}", with_commas(global_step), checkpoint.string()));
}

void SearchProgress::on_step(const search::StepReport& report) {
  global_step_ = report.global_step;
  epoch_ = report.epoch;
  draw("train", report.step + 1, plan_.steps_per_epoch,
       fmt::format("loss {:.3f}  top1 {:.1f} %", report.loss, report.top1));
}

void SearchProgress::on_validation(std::int64_t step, std::int64_t steps) {
  draw("valid", step + 1, steps, "");
}

void SearchProgress::on_epoch(const search::EpochReport& report) {
  if (!messages_.live()) return;  // the log lines say it
  std::string line = fmt::format("epoch {:>3}/{}  lr {:.4f}  train loss {:.3f} top1 {:.1f} %", report.epoch + 1,
                                 plan_.epochs, report.learning_rate, report.train_loss, report.train_top1);
  if (!std::isnan(report.valid_loss))
    line += fmt::format("  valid loss {:.3f} top1 {:.1f} %", report.valid_loss, report.valid_top1);
  messages_.info(fmt::format("{}  {}", line, duration_text(report.seconds)));
}

void SearchProgress::on_log(std::string_view line) {
  if (!messages_.live()) messages_.info(line);
}

void SearchProgress::on_warning(std::string_view message) {
  messages_.warn(message);
}

bool SearchProgress::stop_requested() {
  if (!signals_.requested()) return false;
  if (!stop_announced_) {
    stop_announced_ = true;
    messages_.info(fmt::format("{}: stopping with a checkpoint", strsignal(signals_.signal())));
  }
  return true;
}

std::string SearchProgress::time_left() const {
  const std::int64_t done = global_step_ - first_step_;
  const std::int64_t left = plan_.steps_per_epoch * plan_.epochs - global_step_;
  if (done <= 0) return "-:--:--";
  // Validation and checkpoints so far are in the elapsed time, so they are in the estimate.
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  return duration_text(elapsed / static_cast<double>(done) * static_cast<double>(std::max<std::int64_t>(left, 0)));
}

void SearchProgress::draw(std::string_view phase, std::int64_t done, std::int64_t of, std::string_view figures) {
  if (!messages_.live()) return;
  const Clock::time_point now = Clock::now();
  if (now - drawn_ < redraw_interval && done < of) return;
  drawn_ = now;
  const std::string head = fmt::format("epoch {}/{} {} ", epoch_ + 1, plan_.epochs, phase);
  const std::string tail = fmt::format(" {}/{}  {}  {} left", done, of, figures, time_left());
  // One column stays free: a line that fills the last one wraps on some terminals.
  const int width = terminal_width(STDERR_FILENO) - 1;
  const int room = width - static_cast<int>(head.size() + tail.size()) - 2;
  std::string line = head;
  if (room >= 5) line += bar(done, of, std::min(room, 40));
  line += tail;
  messages_.status(line.substr(0, static_cast<std::size_t>(std::max(width, 1))));
}

}  // namespace dnas::apps
