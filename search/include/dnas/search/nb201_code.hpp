#pragma once

#include "dnas/search/genotype.hpp"

#include <array>
#include <string>
#include <string_view>

/// The cells of NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326): four nodes, an edge from each to every later one,
/// one of five operations on each edge.
namespace dnas::search {

inline constexpr std::array<std::string_view, 5> nb201_operations = {"none", "skip_connect", "nor_conv_1x1",
                                                                     "nor_conv_3x3", "avg_pool_3x3"};
inline constexpr int nb201_edges = 6;
inline constexpr int nb201_architectures = 15'625;  // 5^6

/// The operations of the edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2, each a position in nb201_operations.
using Nb201Cell = std::array<int, nb201_edges>;

/// The canonical code of a cell, 0 to 15,624: its operations as digits to the base 5, that of the edge 1<-0 first.
/// @throws ConfigError if an operation is out of range
[[nodiscard]] int nb201_code(const Nb201Cell& cell);

/// The cell of a code. @throws ConfigError if the code is out of range
[[nodiscard]] Nb201Cell nb201_cell(int code);

/// The cell of a genotype of this space. @throws DataError if it is one of another space
[[nodiscard]] Nb201Cell nb201_cell(const Genotype& genotype);

/// Reads the benchmark's own text, "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|".
/// @throws DataError saying at which character, what was expected and the choices
[[nodiscard]] Nb201Cell parse_nb201_cell(std::string_view text);

/// The benchmark's own text of a cell. @throws ConfigError if an operation is out of range
[[nodiscard]] std::string to_text(const Nb201Cell& cell);

}  // namespace dnas::search
