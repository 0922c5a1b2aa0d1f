#include "dnas/engine/safetensors.hpp"

#include "dnas/kernels/error.hpp"
#include "io/posix.hpp"
#include "io/safetensors_format.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>

namespace dnas::engine {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and read as they are");

/// Bits of a half as bits of a float: every half is exactly a float.
std::uint32_t f16_to_f32_bits(std::uint16_t half) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1FU;
  std::uint32_t mantissa = half & 0x3FFU;
  if (exponent == 31) return sign | 0x7F800000U | (mantissa << 13);  // infinity, NaN
  if (exponent != 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa == 0) return sign;
  std::uint32_t shifted_exponent = 113;  // subnormal: move its leading one to the hidden place
  while ((mantissa & 0x400U) == 0) {
    mantissa <<= 1;
    --shifted_exponent;
  }
  return sign | (shifted_exponent << 23) | ((mantissa & 0x3FFU) << 13);
}

float from_f16(std::uint16_t value) noexcept {
  return std::bit_cast<float>(f16_to_f32_bits(value));
}
float from_bf16(std::uint16_t value) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}
float from_f64(double value) noexcept {
  return static_cast<float>(value);
}

/// Elements that are converted at a time.
constexpr std::size_t piece_elements = 8192;

/// Reads elements of type Stored at `offset` and converts them.
template <typename Stored, typename Convert>
void read_converted(const posix::FileDescriptor& file, const std::filesystem::path& path, std::uint64_t offset,
                    std::span<float> out, Convert convert) {
  std::vector<Stored> piece(std::min(piece_elements, out.size()));
  for (std::size_t done = 0; done < out.size(); done += piece_elements) {
    const std::size_t count = std::min(piece_elements, out.size() - done);
    const std::span<Stored> values = std::span(piece).first(count);
    posix::read_at(file, offset + done * sizeof(Stored), std::as_writable_bytes(values), path);
    std::transform(values.begin(), values.end(), out.begin() + static_cast<std::ptrdiff_t>(done), convert);
  }
}

}  // namespace

struct SafetensorsReader::State {
  std::filesystem::path path;
  posix::FileDescriptor file;
  safetensors::Header header;
  std::vector<std::size_t> by_name;  ///< positions in header.tensors, names ascending
};

SafetensorsReader::SafetensorsReader(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = path;
  posix::ReadableFile opened = posix::open_regular(path);
  s.file = std::move(opened.descriptor);
  if (opened.size < safetensors::length_bytes) {
    throw DataError(fmt::format("{}: {} bytes are too few for a safetensors file", path.string(), opened.size));
  }
  std::array<std::byte, safetensors::length_bytes> prefix{};
  posix::read_at(s.file, 0, prefix, path);
  const auto header_bytes = std::bit_cast<std::uint64_t>(prefix);
  const std::uint64_t limit = std::min(safetensors::max_header_bytes, opened.size - safetensors::length_bytes);
  if (header_bytes > limit) {
    throw DataError(
        fmt::format("{}: the safetensors header would have {} bytes, at most {} are possible; the file was cut "
                    "short or is of another kind",
                    path.string(), header_bytes, limit));
  }
  std::string json(static_cast<std::size_t>(header_bytes), '\0');
  posix::read_at(s.file, safetensors::length_bytes, std::as_writable_bytes(std::span(json)), path);
  s.header = safetensors::parse_header(json, safetensors::length_bytes + header_bytes, opened.size, path);

  s.by_name.resize(s.header.tensors.size());
  std::iota(s.by_name.begin(), s.by_name.end(), std::size_t{0});
  std::sort(s.by_name.begin(), s.by_name.end(),
            [&](std::size_t a, std::size_t b) { return s.header.tensors[a].name < s.header.tensors[b].name; });
}

SafetensorsReader::SafetensorsReader(SafetensorsReader&&) noexcept = default;
SafetensorsReader& SafetensorsReader::operator=(SafetensorsReader&&) noexcept = default;
SafetensorsReader::~SafetensorsReader() = default;

std::span<const TensorInfo> SafetensorsReader::tensors() const noexcept {
  return state_->header.tensors;
}

const TensorInfo* SafetensorsReader::find(std::string_view name) const noexcept {
  const std::vector<TensorInfo>& tensors = state_->header.tensors;
  const auto at =
      std::lower_bound(state_->by_name.begin(), state_->by_name.end(), name,
                       [&](std::size_t index, std::string_view wanted) { return tensors[index].name < wanted; });
  return at != state_->by_name.end() && tensors[*at].name == name ? &tensors[*at] : nullptr;
}

const std::map<std::string, std::string>& SafetensorsReader::metadata() const noexcept {
  return state_->header.metadata;
}

void SafetensorsReader::read(const TensorInfo& info, std::span<std::byte> out) const {
  if (out.size() != info.bytes) {
    throw DataError(fmt::format("{}: tensor '{}' has {} bytes, the destination has {}", state_->path.string(),
                                info.name, info.bytes, out.size()));
  }
  posix::read_at(state_->file, info.offset, out, state_->path);
}

void SafetensorsReader::read_f32(const TensorInfo& info, std::span<float> out) const {
  const State& s = *state_;
  const std::uint64_t elements = info.bytes / size_of(info.dtype);
  if (out.size() != elements) {
    throw DataError(
        fmt::format("{}: tensor '{}' has {} elements, expected {}", s.path.string(), info.name, elements, out.size()));
  }
  switch (info.dtype) {
    case DType::f32:
      return read(info, std::as_writable_bytes(out));
    case DType::f64:
      return read_converted<double>(s.file, s.path, info.offset, out, from_f64);
    case DType::f16:
      return read_converted<std::uint16_t>(s.file, s.path, info.offset, out, from_f16);
    case DType::bf16:
      return read_converted<std::uint16_t>(s.file, s.path, info.offset, out, from_bf16);
    default:
      throw DataError(fmt::format("{}: tensor '{}' is {}, expected a floating-point type", s.path.string(), info.name,
                                  to_string(info.dtype)));
  }
}

}  // namespace dnas::engine
