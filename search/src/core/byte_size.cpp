#include "core/byte_size.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <system_error>
#include <utility>

namespace dnas::search {

std::size_t parse_bytes(std::string_view setting, std::string_view text) {
  constexpr double kib = 1024.0;
  constexpr std::array<std::pair<std::string_view, double>, 6> units{{{"", 1.0},
                                                                      {"B", 1.0},
                                                                      {"KiB", kib},
                                                                      {"MiB", kib * kib},
                                                                      {"GiB", kib * kib * kib},
                                                                      {"TiB", kib * kib * kib * kib}}};
  constexpr double most = 9e15;  // whole numbers are exact up to here
  double value = 0.0;
  const char* const end = text.data() + text.size();
  const auto [unit_at, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error == std::errc()) {
    std::string_view unit(unit_at, static_cast<std::size_t>(end - unit_at));
    while (unit.starts_with(' '))
      unit.remove_prefix(1);
    for (const auto& [name, bytes] : units) {
      if (unit == name && (value == 0.0 || value * bytes >= 1.0) && value * bytes <= most)
        return static_cast<std::size_t>(value * bytes);
    }
  }
  throw ConfigError(
      fmt::format("{} is '{}', expected a size such as 1.5GiB or 800MiB (B, KiB, MiB, GiB or TiB), or 0 for no limit",
                  setting, text));
}

}  // namespace dnas::search
