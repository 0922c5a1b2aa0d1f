#pragma once

#include <string>
#include <string_view>

namespace dnas::search {

/// The colour in which drawings show an operation: one per kind (separable, dilated, pooling, skip ...). Dark enough
/// for white letters, light enough to stand out on a dark page.
[[nodiscard]] std::string_view operation_colour(std::string_view op);

/// What drawings of a cell with so many inputs call a state: the inputs "c_{k-2}", "c_{k-1}" after the cells they come
/// from, then the number of the node from 0.
[[nodiscard]] std::string state_label(int state, int inputs);

}  // namespace dnas::search
