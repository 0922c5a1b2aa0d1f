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
  for (const auto& [name, cell] : genotype.cells) {
    const std::string title = name == "reduce" ? "reduction cell" : name == "cell" ? name : name + " cell";
    write(name + ".svg", draw_svg(cell, title));
    write(name + ".dot", draw_dot(cell, title));
  }
  return files;
}

}  // namespace dnas::search
