#include "core/run_outputs.hpp"

#include "dnas/engine/file.hpp"

#include <string>

namespace dnas::search {

std::vector<std::filesystem::path> write_outputs(const std::filesystem::path& folder, const Genotype& genotype) {
  std::vector<std::filesystem::path> files;
  const auto write = [&](const std::string& name, const std::string& text) {
    files.push_back(folder / name);
    engine::write_text_atomically(files.back(), text);
  };
  write("genotype.txt", to_text(genotype) + "\n");
  write("genotype.json", to_json(genotype) + "\n");
  write("normal.svg", draw_svg(genotype.normal, "normal cell"));
  write("reduction.svg", draw_svg(genotype.reduce, "reduction cell"));
  write("normal.dot", draw_dot(genotype.normal, "normal cell"));
  write("reduction.dot", draw_dot(genotype.reduce, "reduction cell"));
  return files;
}

}  // namespace dnas::search
