#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dnas::apps {

/// "1,930,618"
[[nodiscard]] std::string with_commas(std::int64_t number);
/// "1.4 GiB"; powers of 1024
[[nodiscard]] std::string bytes_text(std::size_t bytes);
/// "0:01:30"; hours, minutes, seconds
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace dnas::apps
