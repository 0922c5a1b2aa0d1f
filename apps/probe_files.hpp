#pragma once

#include "dnas/engine/loader.hpp"
#include "dnas/engine/parameters.hpp"
#include "dnas/engine/safetensors.hpp"
#include "dnas/kernels/buffer.hpp"

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::apps {

/// A safetensors file that must hold certain tensors. What is wrong is collected, so that all of it can be told at
/// once.
class TensorFile {
 public:
  /// @throws MissingError, IoError, DataError if it is no safetensors file
  explicit TensorFile(std::filesystem::path path);

  [[nodiscard]] bool contains(std::string_view name) const noexcept { return reader_.find(name) != nullptr; }

  /// The values of a tensor of this shape; empty if there is a problem.
  [[nodiscard]] std::vector<float> values(const std::string& name, const std::vector<std::int64_t>& shape);
  /// Reads a tensor of any shape of this rank, its extents at least 1; nullptr if there is a problem.
  [[nodiscard]] const engine::TensorInfo* of_rank(const std::string& name, std::size_t rank);
  /// Fills a set from tensors of the specs' names, shapes and layouts.
  void read_all(engine::ParameterSet& set);
  /// Likewise, but only what the file holds.
  void read_present(engine::ParameterSet& set);

  /// Adds a problem: "FILE: text".
  void problem(const std::string& text);
  /// Adds a problem for every tensor that nobody asked for, except batch counters of batch norms.
  void refuse_others();
  [[nodiscard]] const std::vector<std::string>& problems() const noexcept { return problems_; }

  [[nodiscard]] const engine::SafetensorsReader& reader() const noexcept { return reader_; }

 private:
  std::filesystem::path path_;
  engine::SafetensorsReader reader_;
  std::set<std::string, std::less<>> asked_;
  std::vector<std::string> problems_;
};

/// Images and labels of a file, in the layout of the engine.
class BatchFile {
 public:
  /// Reads `images` f32 [N, C, H, W] and `labels` i64 [N] in [0, classes).
  /// @throws DataError with all problems; MissingError, IoError
  BatchFile(const std::filesystem::path& path, int classes);

  [[nodiscard]] const engine::Batch& batch() const noexcept { return batch_; }

 private:
  Buffer images_;
  std::vector<std::int64_t> labels_;
  engine::Batch batch_;
};

/// Tensors to be written, with their memory.
class TensorCollection {
 public:
  void add(std::string name, std::vector<std::int64_t> shape, std::vector<float> values);
  /// Every tensor of a set as "PREFIX<name>", in the layout of files.
  void add_all(const std::string& prefix, const engine::ParameterSet& set);
  /// @throws IoError
  void write(const std::filesystem::path& path) const;
  [[nodiscard]] std::size_t size() const noexcept { return tensors_.size(); }

 private:
  struct Tensor {
    std::string name;
    std::vector<std::int64_t> shape;
    std::vector<float> values;
  };
  std::vector<Tensor> tensors_;
};

}  // namespace dnas::apps
