#pragma once

#include <cstddef>
#include <string_view>

namespace dnas::search {

/// "1.5GiB", "800 MiB", "64KiB", "4096": the size in bytes. @throws ConfigError naming the setting
[[nodiscard]] std::size_t parse_bytes(std::string_view setting, std::string_view text);

}  // namespace dnas::search
