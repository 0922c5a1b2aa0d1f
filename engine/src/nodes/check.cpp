#include "nodes/check.hpp"

#include "dnas/kernels/draws.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::engine::check {

void made(std::string_view kind, const TensorType& type) {
  if (!type.present) throw ShapeError(fmt::format("{}: the type is that of an absent value, expected a shape", kind));
  if (type.dtype != DType::f32) {
    throw DtypeError(fmt::format("{}: the type is {}, expected f32", kind, to_string(type.dtype)));
  }
}

void rate(std::string_view kind, const TensorType& rate) {
  if (rate != TensorType(Shape{1})) {
    throw ShapeError(
        fmt::format("{}: rate is {} {}, expected f32 [1]", kind, to_string(rate.dtype), rate.shape.to_string()));
  }
}

void draws(std::string_view kind, const TensorType& random, std::int64_t site) {
  if (random != TensorType(Shape{2}, DType::i64)) {
    throw ShapeError(fmt::format("{}: random is {} {}, expected the keys seed and step, i64 [2]", kind,
                                 to_string(random.dtype), random.shape.to_string()));
  }
  if (site < 0 || site >= kernels::max_sites) {
    throw ConfigError(fmt::format("{}: site is {}, expected 0 to {}", kind, site, kernels::max_sites - 1));
  }
}

}  // namespace dnas::engine::check
