#pragma once

#include "core/text_scanner.hpp"
#include "dnas/search/genotype.hpp"

#include <string>

/// The text form of NAS-Bench-201: the nodes of a cell with one input divided by '+', each the edges from all earlier
/// states in order, |op~0|op~1|. The last node is the output.
/// Source: Dong and Yang 2020, arXiv:2001.00326, and the code released with it.
namespace dnas::search {

/// Whether the form can say the genotype: one cell "cell" with one input, an edge from every earlier state to every
/// node, and the last state as its output.
[[nodiscard]] bool is_nb201(const Genotype& genotype);

[[nodiscard]] std::string nb201_text(const CellGenotype& cell);

/// Reads from '|' to the end of the form. @throws DataError
[[nodiscard]] Genotype parse_nb201(TextScanner& scanner);

}  // namespace dnas::search
