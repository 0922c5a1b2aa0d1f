#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::engine {

/// One file of a checkpoint as its manifest describes it.
struct ManifestFile {
  std::string part;  ///< file stem
  std::uint64_t bytes = 0;
  std::string hash;  ///< XXH3-128
};

/// What manifest.json of a checkpoint says. The text ends with a hash of all that precedes it, so damage to the
/// manifest is found as surely as damage to the files it vouches for.
struct Manifest {
  std::int64_t step = 0;
  std::string state;  ///< a JSON object
  std::vector<ManifestFile> files;
};

inline constexpr std::string_view manifest_name = "manifest.json";

/// Part names become file names: letters, digits, `_` and `-` only.
[[nodiscard]] bool is_part_name(std::string_view name) noexcept;
[[nodiscard]] std::string part_file(std::string_view part);

/// @throws ConfigError if the state is not a JSON object (or nested too deeply, or with a key twice)
[[nodiscard]] std::string to_text(const Manifest& manifest);
/// @throws DataError naming `path` and what is wrong
[[nodiscard]] Manifest parse_manifest(std::string_view text, const std::filesystem::path& path);

}  // namespace dnas::engine
