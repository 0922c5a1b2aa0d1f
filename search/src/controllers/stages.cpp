#include "dnas/kernels/error.hpp"
#include "dnas/search/controller.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <vector>

namespace dnas::search::family::controllers {

namespace {

using Numbers = std::vector<std::int64_t>;

/// "5/11/17". An empty text is no numbers.
Numbers numbers_of(const char* option, const std::string& text) {
  Numbers numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::int64_t number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    const bool more = next != end && *next == '/' && next + 1 != end;
    if (error != std::errc() || number < 1 || (next != end && !more)) {
      throw ConfigError(fmt::format(
          "stages: {} is '{}', expected whole numbers above 0 with '/' between them, as 5/11/17", option, text));
    }
    numbers.push_back(number);
    at = more ? next + 1 : next;
  }
  return numbers;
}

/// The search in equal stages. In each the network has a depth (`layers`) and a divisor of the partial channels of its
/// own, begins with new weights and a new alpha; of each edge only the `keep` candidates that were strongest at the end
/// of the stage before are left, of equally strong ones the first.
///
/// DrNAS carries the weights from one width to the next; here they begin anew.
class Stages final : public Controller {
 public:
  Stages(Numbers layers, Numbers keep, Numbers divisor)
      : layers_(std::move(layers)), keep_(std::move(keep)), divisor_(std::move(divisor)) {
    count_ = static_cast<std::int64_t>(std::max({layers_.size(), keep_.size(), divisor_.size()}));
    for (const Numbers* numbers : {&layers_, &keep_, &divisor_}) {
      if (!numbers->empty() && static_cast<std::int64_t>(numbers->size()) != count_)
        throw ConfigError("stages: layers, keep and divisor must name as many stages each, or none");
    }
    if (count_ == 0) throw ConfigError("stages: no stage; give layers, keep or divisor, as keep=8/5/3");
  }

  void end_epoch(EpochEnd& end) override {
    const std::int64_t next = end.schedule.stage + 1;
    if (keep_.empty() || next >= count_ || end.epoch + 1 != end.schedule.stage_end) return;
    Architecture& architecture = end.state.architecture;
    for (std::size_t g = 0; g < architecture.groups().size(); ++g) {
      for (std::int64_t edge = 0; edge < architecture.groups()[g].rows(); ++edge)
        keep_strongest(architecture, g, edge, keep_[static_cast<std::size_t>(next)]);
    }
    end.log(fmt::format("stage {}: {} candidates an edge", next, keep_[static_cast<std::size_t>(next)]));
  }

 protected:
  void do_begin_epoch(const SearchConfig& config, std::int64_t epoch, Schedule& schedule) const override {
    if (config.epochs < count_) {
      throw ConfigError(fmt::format("stages: {} epochs for {} stages; allow one each at least", config.epochs, count_));
    }
    const auto begin = [&](std::int64_t stage) { return stage * config.epochs / count_; };
    std::int64_t stage = 0;
    while (stage + 1 < count_ && epoch >= begin(stage + 1))
      ++stage;
    schedule.stage = stage;
    schedule.stage_begin = begin(stage);
    schedule.stage_end = begin(stage + 1);
    if (!layers_.empty()) schedule.layers = layers_[static_cast<std::size_t>(stage)];
    if (!divisor_.empty()) schedule.channel_divisor = divisor_[static_cast<std::size_t>(stage)];
  }

 private:
  static void keep_strongest(Architecture& architecture, std::size_t group, std::int64_t edge, std::int64_t keep) {
    const TensorView& weights = architecture.weights()[group];
    const std::int64_t columns = weights.shape[1];
    const float* row = weights.f32() + edge * columns;
    Numbers order;
    for (std::int64_t k = 0; k < columns; ++k) {
      if (architecture.present(group)[static_cast<std::size_t>(edge * columns + k)] != 0) order.push_back(k);
    }
    std::ranges::stable_sort(order, [&](std::int64_t a, std::int64_t b) { return row[a] > row[b]; });
    for (std::size_t i = static_cast<std::size_t>(keep); i < order.size(); ++i)
      architecture.set_present(group, edge, order[i], false);
  }

  Numbers layers_;
  Numbers keep_;
  Numbers divisor_;
  std::int64_t count_ = 0;
};

}  // namespace

void register_stages(Registry<Component<Controller>>& registry) {
  registry.add({.name = "stages",
                .help = "equal stages, each with its own depth, partial channels and number of candidates an edge",
                .source = "Chen et al. 2019 (P-DARTS), arXiv:1904.12760; Chen et al. 2021 (DrNAS), arXiv:2006.10355",
                .defaults = {{"layers", std::string()}, {"keep", std::string()}, {"divisor", std::string()}},
                .make = [](const Options& options) -> std::unique_ptr<Controller> {
                  return std::make_unique<Stages>(numbers_of("layers", options.text("layers")),
                                                  numbers_of("keep", options.text("keep")),
                                                  numbers_of("divisor", options.text("divisor")));
                }});
}

}  // namespace dnas::search::family::controllers
