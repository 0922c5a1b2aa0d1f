#pragma once

#include <string>
#include <string_view>

namespace dnas::search {

/// Text of a file for a message: cut after 80 bytes, bytes that no terminal should be sent replaced by '?'.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace dnas::search
