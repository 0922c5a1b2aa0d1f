#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::engine {

class Backward;

/// Shape and element type of a value. A default-constructed one stands for an optional input that is absent.
struct TensorType {
  Shape shape;
  DType dtype = DType::f32;
  bool present = false;

  TensorType() = default;
  TensorType(const Shape& shape_, DType dtype_ = DType::f32) : shape(shape_), dtype(dtype_), present(true) {}
  [[nodiscard]] std::size_t bytes() const noexcept {
    return present ? static_cast<std::size_t>(shape.elements()) * size_of(dtype) : 0;
  }
  friend bool operator==(const TensorType&, const TensorType&) noexcept = default;
};

/// What an operation works on. Absent optional inputs are null views.
struct OpArguments {
  std::span<const TensorView> in;
  std::span<const TensorView> out;
  std::span<std::byte> workspace;
};

/// How an output shares memory with an input: always (`required`), or where the planner finds the input dying here.
struct Sharing {
  int input = -1;  ///< -1: shares nothing
  bool required = false;
  std::int64_t channel_offset = 0;  ///< with required: the output is this slice of the input's channels
};

/// One operation of a graph: stateless, immutable, shared by all nodes that use it. Attributes are constructor
/// arguments.
class Op {
 public:
  virtual ~Op() = default;

  /// Name of the operation, for listings and messages: "depthwise_conv".
  [[nodiscard]] virtual std::string_view kind() const = 0;

  /// Kind and attributes as text. Two nodes with equal keys and equal inputs are one node. Empty if nodes of this
  /// operation must never be merged (they have side effects).
  [[nodiscard]] virtual std::string key() const = 0;

  /// Types of the outputs. @throws ShapeError, DtypeError
  [[nodiscard]] virtual std::vector<TensorType> infer(std::span<const TensorType> in) const = 0;

  /// Scratch bytes that run() needs for inputs of these types.
  [[nodiscard]] virtual std::size_t workspace(const Context& /*ctx*/, std::span<const TensorType> /*in*/) const {
    return 0;
  }

  /// Memory that output `index` shares with an input of a node with these inputs.
  [[nodiscard]] virtual Sharing sharing(int /*index*/, std::span<const TensorType> /*in*/) const { return {}; }

  /// Multiply-adds of convolutions and matrix products, the figure that papers quote; 0 for everything else.
  [[nodiscard]] virtual std::int64_t multiply_adds(std::span<const TensorType> /*in*/) const { return 0; }

  /// Whether a backward pass may run a node of this operation once more instead of keeping its results: with equal
  /// inputs it writes equal results, and it touches nothing else once its states are left out (null views).
  [[nodiscard]] virtual bool repeatable() const { return false; }

  /// Computes. Allocates nothing.
  virtual void run(const Context& ctx, const OpArguments& args) const = 0;

  /// Appends the nodes that compute the gradients that `backward` asks for. The default throws UnsupportedError.
  virtual void backward(Backward& backward) const;
};

}  // namespace dnas::engine
