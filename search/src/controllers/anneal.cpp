#include "dnas/kernels/error.hpp"
#include "dnas/search/controller.hpp"

#include <fmt/format.h>

#include <cmath>

namespace dnas::search::family::controllers {

namespace {

enum class Curve : std::uint8_t { linear, linear_to_last, exponential };

/// The temperature of the relaxation, from `first` down:
///   linear           first + (last - first) e/E: `last` would be reached after the search (SNAS)
///   linear_to_last   first + (last - first) e/(E - 1): reached in the last epoch (GDAS)
///   exponential      first * exp(-rate * e) (FBNet)
class Anneal final : public Controller {
 public:
  Anneal(Curve shape, double first, double last, double rate)
      : shape_(shape), first_(first), last_(last), rate_(rate) {}

 protected:
  void do_begin_epoch(const SearchConfig& /*config*/, std::int64_t epoch, Schedule& schedule) const override {
    const auto e = static_cast<double>(epoch - schedule.stage_begin);
    const auto epochs = static_cast<double>(schedule.stage_end - schedule.stage_begin);
    switch (shape_) {
      case Curve::linear:
        schedule.tau = first_ + (last_ - first_) * e / epochs;
        break;
      case Curve::linear_to_last:
        schedule.tau = epochs > 1.0 ? first_ + (last_ - first_) * e / (epochs - 1.0) : first_;
        break;
      case Curve::exponential:
        schedule.tau = first_ * std::exp(-rate_ * e);
        break;
    }
  }

 private:
  Curve shape_;
  double first_;
  double last_;
  double rate_;
};

Curve shape_of(const std::string& name) {
  if (name == "linear") return Curve::linear;
  if (name == "linear_to_last") return Curve::linear_to_last;
  if (name == "exponential") return Curve::exponential;
  throw ConfigError(fmt::format("anneal: shape is '{}', expected linear, linear_to_last or exponential", name));
}

}  // namespace

void register_anneal(Registry<Component<Controller>>& registry) {
  registry.add(
      {.name = "anneal",
       .help = "the temperature of the relaxation falls from first to last, or by a rate per epoch",
       .source = "Xie et al. 2019 (SNAS), arXiv:1812.09926; Dong and Yang 2019 (GDAS), arXiv:1910.04465; Wu et "
                 "al. 2019 (FBNet), arXiv:1812.03443",
       .defaults = {{"shape", std::string("linear_to_last")}, {"first", 10.0}, {"last", 0.1}, {"rate", 0.045}},
       .make = [](const Options& options) -> std::unique_ptr<Controller> {
         for (const char* name : {"first", "last"}) {
           if (!(options.number(name) > 0.0)) {
             throw ConfigError(fmt::format("anneal: {} is {}, expected more than 0", name, options.number(name)));
           }
         }
         return std::make_unique<Anneal>(shape_of(options.text("shape")), options.number("first"),
                                         options.number("last"), options.number("rate"));
       }});
}

}  // namespace dnas::search::family::controllers
