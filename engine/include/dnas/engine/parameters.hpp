#pragma once

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::engine {

/// How a parameter lies in memory here, and in the files that PyTorch reads and writes.
enum class ParameterLayout : std::uint8_t {
  vector,     ///< [C], the same in files
  matrix,     ///< [O, I], the same in files
  pointwise,  ///< [O, I]; [O, I, 1, 1] in files
  depthwise,  ///< [k, k, C]; [C, 1, k, k] in files
  conv,       ///< [O, kh, kw, I]; [O, I, kh, kw] in files
};

/// How a parameter starts. uniform is PyTorch's default of convolutions and linear layers: U(-b, b), b =
/// 1/sqrt(fan_in).
enum class ParameterInit : std::uint8_t { zeros, ones, uniform };

/// One named tensor of a network.
struct ParameterSpec {
  std::string name;  ///< as in the official state_dict: "cells.0._ops.3._ops.4.op.1.weight"
  Shape shape;
  ParameterLayout layout = ParameterLayout::vector;
  ParameterInit init = ParameterInit::zeros;
  std::int64_t fan_in = 1;
  std::int64_t offset = 0;  ///< floats from the start of the flat array; a multiple of 16

  /// The extents in files.
  [[nodiscard]] std::vector<std::int64_t> file_shape() const;
};

/// The named tensors of a network in the order they were declared, laid out in one flat array (each 64-byte aligned,
/// gaps stay zero). Graphs of one network (training, evaluation, other batch sizes) share a table.
class ParameterTable {
 public:
  /// Declares a tensor, or finds it if it was declared before. @throws Error if it was declared differently;
  /// ShapeError if the shape does not fit the layout or the fan-in is not positive
  int declare(const ParameterSpec& spec);

  [[nodiscard]] std::span<const ParameterSpec> specs() const noexcept { return specs_; }
  /// -1 if there is none
  [[nodiscard]] int find(std::string_view name) const noexcept;
  /// Floats of the flat array, gaps included.
  [[nodiscard]] std::int64_t extent() const noexcept { return extent_; }
  /// Number of scalar parameters, gaps not included.
  [[nodiscard]] std::int64_t count() const noexcept;

 private:
  std::vector<ParameterSpec> specs_;
  std::map<std::string, int, std::less<>> index_;
  std::int64_t extent_ = 0;
};

/// Values for a table: weights, gradients, optimizer moments or running statistics.
class ParameterSet {
 public:
  /// All zero. The table must be complete.
  explicit ParameterSet(std::shared_ptr<const ParameterTable> table);

  [[nodiscard]] const ParameterTable& table() const noexcept { return *table_; }
  [[nodiscard]] std::span<float> flat() noexcept { return buffer_.f32(); }
  [[nodiscard]] std::span<const float> flat() const noexcept { return buffer_.f32(); }
  [[nodiscard]] TensorView view(int index) noexcept;
  [[nodiscard]] std::span<const float> values(int index) const noexcept;

  /// Fills by each spec's init; draws keyed by (seed, Stream::weight_init, index, element).
  void initialise(std::uint64_t seed);

  /// The values of one tensor in file order, and back. @throws ShapeError if the number of values differs
  [[nodiscard]] std::vector<float> to_file(int index) const;
  void from_file(int index, std::span<const float> values);

 private:
  std::shared_ptr<const ParameterTable> table_;
  Buffer buffer_;
};

}  // namespace dnas::engine
