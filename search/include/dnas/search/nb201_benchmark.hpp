#pragma once

#include "dnas/search/nb201_table.hpp"

#include <array>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace dnas::search {

/// What the benchmark's training of an architecture (200 epochs) came to on one data set.
struct Nb201Score {
  std::string dataset;    ///< "CIFAR-10", "CIFAR-100" or "ImageNet16-120"
  double accuracy = 0.0;  ///< on the test set, per cent
  double best = 0.0;      ///< of all architectures
  int rank = 0;           ///< how many architectures are better, plus one
};

using Nb201Scores = std::array<Nb201Score, 3>;

/// For a search on NAS-Bench-201: looks the architecture up that it has arrived at, instead of training it.
class Nb201Benchmark {
 public:
  /// @throws as Nb201Table
  explicit Nb201Benchmark(const std::filesystem::path& table);

  /// @param architecture  in the benchmark's own text (parse_nb201_cell())
  /// @throws DataError if it cannot be read
  [[nodiscard]] Nb201Scores scores(std::string_view architecture) const;
  /// @throws DataError if the genotype is of another space
  [[nodiscard]] Nb201Scores scores(const Genotype& genotype) const;

 private:
  struct Target {
    std::string dataset;
    Nb201Column column;
    double best = 0.0;
  };

  [[nodiscard]] Nb201Scores scores_of(const Nb201Cell& cell) const;

  Nb201Table table_;  // owns what the columns point to
  std::array<Target, 3> targets_;
};

/// "CIFAR-10 93.76 (rank 7, best 94.37), CIFAR-100 ...": a line for a log.
[[nodiscard]] std::string to_text(const Nb201Scores& scores);

}  // namespace dnas::search
