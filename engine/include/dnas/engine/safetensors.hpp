#pragma once

#include "dnas/kernels/dtype.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::engine {

/// One tensor of a safetensors file.
struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  ///< bytes from the start of the file
  std::uint64_t bytes = 0;
};

/// Reader of the safetensors format. The whole header is validated before anything is allocated from it: header length
/// at most 100 MB and inside the file, strict JSON without duplicate keys, rank at most 8, sizes in checked 64-bit
/// arithmetic, regions sorted, contiguous, without overlap or hole up to the end of the file, names unique and at most
/// 256 bytes. Nothing in a file is ever executed; names are keys, never paths.
class SafetensorsReader {
 public:
  /// @throws MissingError, IoError, DataError (what is wrong and where)
  explicit SafetensorsReader(const std::filesystem::path& path);
  SafetensorsReader(SafetensorsReader&&) noexcept;
  SafetensorsReader& operator=(SafetensorsReader&&) noexcept;
  ~SafetensorsReader();

  /// In file order.
  [[nodiscard]] std::span<const TensorInfo> tensors() const noexcept;
  /// nullptr if absent
  [[nodiscard]] const TensorInfo* find(std::string_view name) const noexcept;
  /// The optional "__metadata__" strings.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const noexcept;

  /// Reads a tensor's bytes. @throws DataError if `out` is not exactly info.bytes long; IoError
  void read(const TensorInfo& info, std::span<std::byte> out) const;
  /// Reads an f32 tensor (f64, f16 and bf16 are converted). @throws DataError on another dtype or element count
  void read_f32(const TensorInfo& info, std::span<float> out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A tensor to be written; the data is only read.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

/// Writes a safetensors file: tensors in the order given, header padded so that data start 64-byte aligned; fsynced.
/// Returns the file's XXH3-128. @throws DataError on a duplicate name or a size that does not match the shape; IoError
std::string write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                              const std::map<std::string, std::string>& metadata = {});

}  // namespace dnas::engine
