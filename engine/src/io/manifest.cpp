#include "io/manifest.hpp"

#include "dnas/engine/file.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <span>

namespace dnas::engine {
namespace {

using Json = nlohmann::ordered_json;

constexpr int schema = 1;
constexpr int max_depth = 32;
constexpr std::size_t hash_digits = 32;
constexpr std::string_view hash_opening = ",\n  \"hash\": \"";
constexpr std::string_view hash_closing = "\"\n}\n";

/// JSON that means one thing only: no key twice, no deep nesting, nothing behind the end.
Json parse_strict(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) throw DataError("a zero byte");  // the parser takes it for the end
  std::vector<std::set<std::string>> keys;                                        // of each open object
  const auto check = [&keys](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > max_depth) throw DataError(fmt::format("JSON nested deeper than {} levels", max_depth));
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      throw DataError(fmt::format("the key '{}' appears twice", parsed.get<std::string>()));
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    throw DataError(error.what());
  }
}

const Json& member(const Json& object, const char* key, Json::value_t type) {
  const auto found = object.find(key);
  if (found == object.end() || found->type() != type) {
    throw DataError(fmt::format("'{}' is missing or not of type {}", key, Json(type).type_name()));
  }
  return *found;
}

std::uint64_t number(const Json& object, const char* key) {
  return member(object, key, Json::value_t::number_unsigned).get<std::uint64_t>();
}

/// Checks the hash at the end; returns the JSON object without it.
std::string without_hash(std::string_view text) {
  const std::size_t tail = hash_opening.size() + hash_digits + hash_closing.size();
  if (text.size() < tail || !text.ends_with(hash_closing) ||
      text.substr(text.size() - tail, hash_opening.size()) != hash_opening) {
    throw DataError("it does not end with its hash; it was cut short or edited");
  }
  const std::string_view body = text.substr(0, text.size() - tail);
  const std::string_view recorded = text.substr(body.size() + hash_opening.size(), hash_digits);
  const std::string found = hash_of(std::as_bytes(std::span(body)));
  if (recorded != found) throw DataError(fmt::format("its content has hash {}, recorded was {}", found, recorded));
  return std::string(body) + "\n}";
}

Manifest parse_checked(std::string_view text) {
  const Json json = parse_strict(without_hash(text));
  const std::uint64_t found_schema = number(json, "schema");
  if (found_schema != schema) {
    throw DataError(fmt::format("it has schema {}, this build reads {}", found_schema, schema));
  }
  Manifest manifest;
  manifest.step = static_cast<std::int64_t>(std::min(number(json, "step"), std::uint64_t{INT64_MAX}));
  manifest.state = member(json, "state", Json::value_t::object).dump();
  for (const auto& [part, entry] : member(json, "files", Json::value_t::object).items()) {
    if (!is_part_name(part)) throw DataError(fmt::format("'{}' is not the name of a part", part.substr(0, 80)));
    if (!entry.is_object()) throw DataError(fmt::format("the entry of part '{}' is not an object", part));
    manifest.files.push_back(
        {part, number(entry, "bytes"), member(entry, "hash", Json::value_t::string).get<std::string>()});
  }
  return manifest;
}

}  // namespace

bool is_part_name(std::string_view name) noexcept {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed);
}

std::string part_file(std::string_view part) {
  return fmt::format("{}.safetensors", part);
}

std::string to_text(const Manifest& manifest) {
  Json state;
  try {
    state = parse_strict(manifest.state);
  } catch (const DataError& error) {
    throw ConfigError(fmt::format("checkpoint: the state is not usable JSON: {}", error.what()));
  }
  if (!state.is_object()) throw ConfigError("checkpoint: the state must be a JSON object");
  Json files = Json::object();
  for (const ManifestFile& file : manifest.files)
    files[file.part] = {{"bytes", file.bytes}, {"hash", file.hash}};
  const Json json = {{"schema", schema}, {"step", manifest.step}, {"files", files}, {"state", state}};
  std::string text = json.dump(2);
  text.resize(text.size() - std::string_view("\n}").size());  // reopened for the hash
  const std::string hash = hash_of(std::as_bytes(std::span(text)));
  return fmt::format("{}{}{}{}", text, hash_opening, hash, hash_closing);
}

Manifest parse_manifest(std::string_view text, const std::filesystem::path& path) {
  try {
    return parse_checked(text);
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: not a usable manifest: {}", path.string(), error.what()));
  }
}

}  // namespace dnas::engine
