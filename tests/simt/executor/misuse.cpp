#include "simt/executor/misuse.hpp"

#include <cstring>
#include <string_view>

namespace dnas::simt {

bool same(const Place& a, const Place& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string text(const Place& place) {
  const std::string_view file = place.file_name();
  return std::string(file.substr(file.rfind('/') + 1)) + ":" + std::to_string(place.line());
}

}  // namespace dnas::simt
