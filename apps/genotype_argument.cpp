#include "genotype_argument.hpp"

#include "dnas/engine/file.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

namespace dnas::apps {

search::Genotype read_genotype(const std::string& what) {
  if (what.find_first_of("({|") != std::string::npos) return search::parse_genotype(what);
  for (const std::string& name : search::published_genotype_names()) {
    if (name == what) return search::published_genotype(name);
  }
  if (std::filesystem::exists(what)) {
    try {
      return search::parse_genotype(engine::read_text(what));
    } catch (const DataError& error) {
      throw DataError(fmt::format("{}: {}", what, error.what()));
    }
  }
  throw MissingError(fmt::format("genotype '{}': no such file, and not a published cell (those are {})", what,
                                 fmt::join(search::published_genotype_names(), ", ")));
}

}  // namespace dnas::apps
