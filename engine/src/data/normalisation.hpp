#pragma once

#include "dnas/engine/dataset.hpp"

namespace dnas::engine::data {

/// Sets mean and std to those of the training pixels, per channel, scaled to [0, 1]. Integer sums: exact.
/// @throws DataError if a channel is constant, for it cannot be normalised
void measure_normalisation(Dataset& dataset);

}  // namespace dnas::engine::data
