#include "dnas/search/nb201_benchmark.hpp"

#include <fmt/format.h>

namespace dnas::search {

Nb201Benchmark::Nb201Benchmark(const std::filesystem::path& table)
    : table_(table),
      targets_{{{"CIFAR-10", table_.column("c10_test")},
                {"CIFAR-100", table_.column("c100_test")},
                {"ImageNet16-120", table_.column("im16_test")}}} {
  for (Target& target : targets_)
    target.best = target.column.at(best_codes(table_, target.column, 1).front());
}

Nb201Scores Nb201Benchmark::scores(std::string_view architecture) const {
  return scores_of(parse_nb201_cell(architecture));
}

Nb201Scores Nb201Benchmark::scores(const Genotype& genotype) const {
  return scores_of(nb201_cell(genotype));
}

Nb201Scores Nb201Benchmark::scores_of(const Nb201Cell& cell) const {
  const int code = nb201_code(cell);
  Nb201Scores scores;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const Target& target = targets_[i];
    scores[i] = {target.dataset, target.column.at(code), target.best, rank_of(target.column, code)};
  }
  return scores;
}

std::string to_text(const Nb201Scores& scores) {
  std::string text;
  for (const Nb201Score& score : scores) {
    text += fmt::format("{}{} {:.2f} (rank {}, best {:.2f})", text.empty() ? "" : ", ", score.dataset, score.accuracy,
                        score.rank, score.best);
  }
  return text;
}

}  // namespace dnas::search
