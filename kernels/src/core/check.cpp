#include "core/check.hpp"

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace dnas::kernels::check {

std::string Where::text() const {
  std::string text(operation_);
  if (!argument_.empty()) text += fmt::format(": {}", argument_);
  if (index_ >= 0) text += fmt::format("[{}]", index_);
  return text;
}

void tensor(const Where& where, const TensorView& t, DType dtype) {
  if (t.data == nullptr && t.elements() > 0) throw ShapeError(fmt::format("{} has no data", where.text()));
  if (t.dtype != dtype) {
    throw DtypeError(fmt::format("{} is {}, expected {}", where.text(), to_string(t.dtype), to_string(dtype)));
  }
  if (t.pixel_stride < t.channels()) {
    throw ShapeError(fmt::format("{} has pixel stride {}, expected at least its {} channels", where.text(),
                                 t.pixel_stride, t.channels()));
  }
}

void shaped(const Where& where, const TensorView& t, const Shape& shape, DType dtype) {
  tensor(where, t, dtype);
  if (t.shape != shape) {
    throw ShapeError(fmt::format("{} is {}, expected {}", where.text(), t.shape.to_string(), shape.to_string()));
  }
}

void dense(const Where& where, const TensorView& t, const Shape& shape, DType dtype) {
  shaped(where, t, shape, dtype);
  if (!t.dense()) {
    throw ShapeError(fmt::format("{} is a channel slice (pixel stride {}), expected a dense tensor {}", where.text(),
                                 t.pixel_stride, shape.to_string()));
  }
}

void ranked(const Where& where, const TensorView& t, int rank, DType dtype) {
  tensor(where, t, dtype);
  if (t.shape.rank() != rank) {
    throw ShapeError(fmt::format("{} is {}, expected a tensor of rank {}", where.text(), t.shape.to_string(), rank));
  }
}

void workspace(std::string_view operation, std::span<std::byte> workspace, std::size_t needed, std::size_t alignment) {
  if (workspace.size() < needed) {
    throw ShapeError(fmt::format("{}: workspace has {} bytes, expected {}", operation, workspace.size(), needed));
  }
  if (reinterpret_cast<std::uintptr_t>(workspace.data()) % alignment != 0) {
    throw ShapeError(fmt::format("{}: workspace is not aligned to {} bytes", operation, alignment));
  }
}

}  // namespace dnas::kernels::check
