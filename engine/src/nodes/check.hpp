#pragma once

#include "dnas/engine/op.hpp"

#include <cstdint>
#include <string_view>

// Checks that several operations make when their nodes are added.
namespace dnas::engine::check {

/// A value that a node makes of nothing has a type, which is f32. @throws ShapeError, DtypeError
void made(std::string_view kind, const TensorType& type);

/// f32 [1]. @throws ShapeError
void rate(std::string_view kind, const TensorType& rate);

/// The keys of a node's draws, i64 [2], and its number (kernels/draws.hpp). @throws ShapeError, ConfigError
void draws(std::string_view kind, const TensorType& random, std::int64_t site);

}  // namespace dnas::engine::check
