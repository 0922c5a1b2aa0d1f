#pragma once

#include "dnas/search/genotype.hpp"

#include <filesystem>
#include <vector>

namespace dnas::search {

/// Writes genotype.txt, genotype.json and a drawing of each cell (SVG, DOT) into a folder; returns the paths.
std::vector<std::filesystem::path> write_outputs(const std::filesystem::path& folder, const Genotype& genotype);

}  // namespace dnas::search
