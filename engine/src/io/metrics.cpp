#include "dnas/engine/metrics.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace dnas::engine {
namespace {

constexpr int schema = 1;

}  // namespace

void MetricsLog::write(std::string_view kind, const Metrics& metrics) {
  // The JSON library writes the shortest digits that give a number back, and null for what JSON has no number for.
  nlohmann::ordered_json record = {{"schema", schema}, {"kind", kind}};
  for (const auto& [key, value] : metrics) {
    if (record.contains(key)) {
      throw Error(fmt::format("metrics: the key '{}' appears twice in a '{}' record", key, kind));
    }
    std::visit([&record, &name = key](const auto& content) { record[name] = content; }, value);
  }
  // A path or message with invalid UTF-8 must not end a run: its bad bytes become U+FFFD.
  log_.write(record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace dnas::engine
