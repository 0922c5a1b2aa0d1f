#include "dnas/engine/file.hpp"
#include "dnas/engine/safetensors.hpp"
#include "dnas/kernels/error.hpp"
#include "io/safetensors_format.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <bit>
#include <unordered_set>

namespace dnas::engine {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian and written as memory is");

[[noreturn]] void fail(const std::filesystem::path& path, std::string_view name, std::string_view what) {
  throw DataError(fmt::format("{}: cannot write tensor '{}': {}", path.string(), name, what));
}

/// The text as a JSON string. Invalid UTF-8 is refused: no reader would take the file.
std::string quoted(std::string_view text, const std::filesystem::path& path) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    throw DataError(fmt::format("{}: a name or metadata text is not valid UTF-8", path.string()));
  }
}

void check(const TensorToWrite& tensor, const std::filesystem::path& path) {
  if (tensor.name.size() > safetensors::max_name_bytes) {
    fail(path, tensor.name, fmt::format("names have at most {} bytes", safetensors::max_name_bytes));
  }
  if (tensor.name == safetensors::metadata_key) fail(path, tensor.name, "the name is reserved by the format");
  if (tensor.shape.size() > safetensors::max_rank) {
    fail(path, tensor.name, fmt::format("{} axes, at most {} are allowed", tensor.shape.size(), safetensors::max_rank));
  }
  std::uint64_t bytes = 0;
  if (!safetensors::checked_bytes(tensor.shape, tensor.dtype, bytes)) fail(path, tensor.name, "its size overflows");
  if (bytes != tensor.data.size()) {
    fail(path, tensor.name,
         fmt::format("shape [{}] of {} needs {} bytes, the data have {}", fmt::join(tensor.shape, ", "),
                     to_string(tensor.dtype), bytes, tensor.data.size()));
  }
}

std::string_view name_of(DType dtype) {
  for (const safetensors::DtypeName& known : safetensors::dtype_names) {
    if (known.dtype == dtype) return known.name;
  }
  throw DtypeError(fmt::format("safetensors: {} cannot be stored", to_string(dtype)));
}

/// The JSON header, padded with spaces so that the data behind it are aligned.
std::string header_of(std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata,
                      const std::filesystem::path& path) {
  std::string header = "{";
  const auto separate = [&header] {
    if (header.back() != '{') header += ',';
  };
  if (!metadata.empty()) {
    header += fmt::format("\"{}\":{{", safetensors::metadata_key);
    for (const auto& [key, value] : metadata) {
      separate();
      header += quoted(key, path) + ':' + quoted(value, path);
    }
    header += '}';
  }
  std::uint64_t offset = 0;
  std::unordered_set<std::string_view> names;
  for (const TensorToWrite& tensor : tensors) {
    check(tensor, path);
    if (!names.insert(tensor.name).second) fail(path, tensor.name, "the name was used before");
    separate();
    header += fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", quoted(tensor.name, path),
                          name_of(tensor.dtype), fmt::join(tensor.shape, ","), offset, offset + tensor.data.size());
    offset += tensor.data.size();
  }
  header += '}';
  constexpr std::uint64_t alignment = safetensors::data_alignment;
  const std::uint64_t used = safetensors::length_bytes + header.size();
  header.append((alignment - used % alignment) % alignment, ' ');
  if (header.size() > safetensors::max_header_bytes) {
    throw DataError(fmt::format("{}: the header of {} tensors has {} bytes, at most {} are allowed", path.string(),
                                tensors.size(), header.size(), safetensors::max_header_bytes));
  }
  return header;
}

}  // namespace

std::string write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                              const std::map<std::string, std::string>& metadata) {
  const std::string header = header_of(tensors, metadata, path);  // before the file is touched
  FileWriter file(path);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(std::as_bytes(std::span(header)));
  for (const TensorToWrite& tensor : tensors)
    file.write(tensor.data);
  file.close();
  return file.hash();
}

}  // namespace dnas::engine
