#include "dnas/engine/checkpoint.hpp"

#include "dnas/engine/file.hpp"
#include "dnas/kernels/error.hpp"
#include "io/manifest.hpp"
#include "io/posix.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <set>

#include <fcntl.h>

namespace dnas::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "ckpt-";
constexpr std::string_view temporary_suffix = ".tmp";
constexpr std::size_t step_digits = 9;
constexpr std::int64_t max_step = 999'999'999;
constexpr std::uint64_t max_manifest_bytes = std::uint64_t{64} << 20;

std::string folder_name(std::int64_t step) {
  return fmt::format("{}{:0{}}", prefix, step, step_digits);
}

/// The step in a checkpoint folder's name, if it is one.
std::optional<std::int64_t> step_of(std::string_view name) {
  if (name.size() != prefix.size() + step_digits || !name.starts_with(prefix)) return std::nullopt;
  std::int64_t step = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, step);
  if (error != std::errc{} || stop != end || step < 0) return std::nullopt;
  return step;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  const bool found = fs::exists(path, error);
  if (error) posix::throw_io("inspect", path, error.value());
  return found;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  if (error) posix::throw_io("list", folder, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

/// Steps of all checkpoints, ascending. A folder that is not there has none.
std::vector<std::int64_t> steps_in(const fs::path& folder) {
  if (!is_there(folder)) return {};
  std::vector<std::int64_t> steps;
  for (const std::string& name : names_in(folder)) {
    if (const auto step = step_of(name)) steps.push_back(*step);
  }
  return steps;
}

void create_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) posix::throw_io("create", path, error.value());
}

void remove_folder(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) posix::throw_io("remove", path, error.value());
}

/// Removes a checkpoint; under another name first, so that a kill on the way leaves no half checkpoint.
void remove_checkpoint(const fs::path& path) {
  fs::path doomed = path;
  doomed += temporary_suffix;
  if (std::rename(path.c_str(), doomed.c_str()) != 0) posix::throw_io("remove", path, errno);
  remove_folder(doomed);
}

/// What a killed process left behind.
void remove_temporaries(const fs::path& folder) {
  for (const std::string& name : names_in(folder)) {
    if (name.starts_with(prefix) && name.ends_with(temporary_suffix)) remove_folder(folder / name);
  }
}

/// Gives the finished folder its name. A checkpoint of the same step (a run that went back to an earlier one writes it
/// again) changes places with it in one step and ends as the temporary.
void put_in_place(const fs::path& temporary, const fs::path& final) {
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final.c_str(), RENAME_NOREPLACE) == 0) return;
  // A file system without these flags renames plainly onto nothing, and onto an existing checkpoint after removing it.
  if (errno == EEXIST && ::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final.c_str(), RENAME_EXCHANGE) == 0) {
    remove_folder(temporary);
    return;
  }
  if (errno != EINVAL && errno != ENOSYS) posix::throw_io("put in place", final, errno);
  remove_folder(final);
  if (std::rename(temporary.c_str(), final.c_str()) != 0) posix::throw_io("put in place", final, errno);
}

void check_parts(const std::vector<CheckpointPart>& parts) {
  std::set<std::string_view> names;
  for (const CheckpointPart& part : parts) {
    if (!is_part_name(part.name)) {
      throw ConfigError(
          fmt::format("checkpoint: '{}' cannot name a part: 1 to 64 letters, digits, '_' or '-'", part.name));
    }
    if (!names.insert(part.name).second)
      throw ConfigError(fmt::format("checkpoint: part '{}' appears twice", part.name));
  }
}

void write_into(const fs::path& folder, std::int64_t step, const std::vector<CheckpointPart>& parts,
                const std::string& state) {
  create_folder(folder);
  Manifest manifest{step, state, {}};
  for (const CheckpointPart& part : parts) {
    const fs::path path = folder / part_file(part.name);
    std::string hash = write_safetensors(path, part.tensors);
    manifest.files.push_back({part.name, posix::open_regular(path).size, std::move(hash)});
  }
  const std::string text = to_text(manifest);
  FileWriter file(folder / manifest_name);
  file.write(std::as_bytes(std::span(text)));
  file.close();
  sync_path(folder);
}

void check_file(const fs::path& path, const ManifestFile& expected) {
  const std::uint64_t bytes = posix::open_regular(path).size;
  if (bytes != expected.bytes) {
    throw DataError(fmt::format("{}: has {} bytes, expected {}", path.string(), bytes, expected.bytes));
  }
  const std::string hash = hash_file(path);
  if (hash != expected.hash) {
    throw DataError(
        fmt::format("{}: its content has hash {}, expected {}; it was damaged", path.string(), hash, expected.hash));
  }
}

}  // namespace

CheckpointStore::CheckpointStore(fs::path folder, int keep) : folder_(std::move(folder)), keep_(keep) {
  if (keep < 1) throw ConfigError(fmt::format("checkpoints to keep: expected at least 1, got {}", keep));
}

void CheckpointStore::write(std::int64_t step, const std::vector<CheckpointPart>& parts, const std::string& state) {
  if (step < 0 || step > max_step) {
    throw ConfigError(fmt::format("checkpoint: step {} is not in [0, {}]", step, max_step));
  }
  check_parts(parts);
  create_folder(folder_);
  remove_temporaries(folder_);
  const fs::path final = folder_ / folder_name(step);
  fs::path temporary = final;
  temporary += temporary_suffix;
  try {
    write_into(temporary, step, parts, state);
    put_in_place(temporary, final);
  } catch (...) {
    std::error_code ignored;  // the first error is the one to report
    fs::remove_all(temporary, ignored);
    throw;
  }
  sync_path(folder_);

  // Checkpoints of later steps belong to a run that this one went back behind; they are not ours to count or remove.
  std::vector<std::int64_t> steps = steps_in(folder_);
  std::erase_if(steps, [step](std::int64_t other) { return other > step; });
  const std::size_t excess = steps.size() - std::min(steps.size(), static_cast<std::size_t>(keep_));
  for (std::size_t i = 0; i < excess; ++i)
    remove_checkpoint(folder_ / folder_name(steps[i]));
}

std::optional<CheckpointStore::Loaded> CheckpointStore::newest(std::vector<std::string>& damaged) const {
  const std::vector<std::int64_t> steps = steps_in(folder_);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const fs::path folder = folder_ / folder_name(*step);
    try {
      Loaded loaded = open(folder);
      if (loaded.step == *step) return loaded;
      damaged.push_back(fmt::format("{}: its manifest is of step {}", folder.string(), loaded.step));
    } catch (const DataError& error) {
      damaged.emplace_back(error.what());
    } catch (const MissingError& error) {
      damaged.emplace_back(error.what());
    }
  }
  if (steps.empty()) return std::nullopt;
  throw DataError(fmt::format("{}: none of the {} checkpoints is whole:\n  {}", folder_.string(), steps.size(),
                              fmt::join(damaged, "\n  ")));
}

CheckpointStore::Loaded CheckpointStore::open(const fs::path& folder) {
  if (!is_there(folder)) throw MissingError(fmt::format("there is no checkpoint {}", folder.string()));
  const fs::path manifest_path = folder / manifest_name;
  if (!is_there(manifest_path)) {
    throw DataError(fmt::format("{}: not a whole checkpoint: it has no {}", folder.string(), manifest_name));
  }
  const Manifest manifest = parse_manifest(read_text(manifest_path, max_manifest_bytes), manifest_path);
  for (const ManifestFile& file : manifest.files) {
    const fs::path path = folder / part_file(file.part);
    if (!is_there(path))
      throw DataError(fmt::format("{}: the file {} is missing", folder.string(), part_file(file.part)));
    check_file(path, file);
  }
  return {manifest.step, manifest.state, folder};
}

SafetensorsReader CheckpointStore::Loaded::part(const std::string& name) const {
  const fs::path path = folder / part_file(name);
  if (!is_part_name(name) || !is_there(path)) {
    throw DataError(fmt::format("{}: the checkpoint has no part '{}'; it has: {}", folder.string(), name,
                                fmt::join(names_in(folder), ", ")));
  }
  return SafetensorsReader(path);
}

}  // namespace dnas::engine
