#include "probe_files.hpp"

#include "dnas/engine/registry.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <utility>

namespace dnas::apps {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

TensorFile::TensorFile(std::filesystem::path path) : path_(std::move(path)), reader_(path_) {}

void TensorFile::problem(const std::string& text) {
  problems_.push_back(fmt::format("{}: {}", path_.string(), text));
}

std::vector<float> TensorFile::values(const std::string& name, const std::vector<std::int64_t>& shape) {
  asked_.insert(name);
  const engine::TensorInfo* info = reader_.find(name);
  if (info == nullptr) {
    problem(fmt::format("no tensor '{}', expected one of shape {}", name, shape_text(shape)));
    return {};
  }
  if (info->shape != shape) {
    problem(fmt::format("'{}' is {}, expected {}", name, shape_text(info->shape), shape_text(shape)));
    return {};
  }
  std::int64_t count = 1;
  for (const std::int64_t extent : shape)
    count *= extent;
  std::vector<float> values(static_cast<std::size_t>(count));
  try {
    reader_.read_f32(*info, values);
  } catch (const DataError& error) {  // another element type
    problem(error.what());
    return {};
  }
  return values;
}

const engine::TensorInfo* TensorFile::of_rank(const std::string& name, std::size_t rank) {
  asked_.insert(name);
  const engine::TensorInfo* info = reader_.find(name);
  if (info == nullptr) {
    problem(fmt::format("no tensor '{}', expected one of {} axes", name, rank));
    return nullptr;
  }
  const bool empty =
      std::any_of(info->shape.begin(), info->shape.end(), [](std::int64_t extent) { return extent < 1; });
  if (info->shape.size() != rank || empty) {
    problem(fmt::format("'{}' is {}, expected {} axes of at least 1", name, shape_text(info->shape), rank));
    return nullptr;
  }
  return info;
}

void TensorFile::read_all(engine::ParameterSet& set) {
  const std::span<const engine::ParameterSpec> specs = set.table().specs();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const std::vector<float> file = values(specs[i].name, specs[i].file_shape());
    if (!file.empty()) set.from_file(static_cast<int>(i), file);
  }
}

void TensorFile::read_present(engine::ParameterSet& set) {
  const std::span<const engine::ParameterSpec> specs = set.table().specs();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (!contains(specs[i].name)) continue;
    const std::vector<float> file = values(specs[i].name, specs[i].file_shape());
    if (!file.empty()) set.from_file(static_cast<int>(i), file);
  }
}

void TensorFile::refuse_others() {
  const std::vector<std::string> known(asked_.begin(), asked_.end());
  for (const engine::TensorInfo& info : reader_.tensors()) {
    if (asked_.count(info.name) > 0 || ends_with(info.name, "num_batches_tracked")) continue;
    const std::string nearest = nearest_match(info.name, known);
    problem(fmt::format("unknown tensor '{}' of shape {}{}", info.name, shape_text(info.shape),
                        nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest)));
  }
}

BatchFile::BatchFile(const std::filesystem::path& path, int classes) {
  TensorFile file(path);
  const engine::TensorInfo* images = file.of_rank("images", 4);
  const engine::TensorInfo* labels = file.of_rank("labels", 1);
  file.refuse_others();
  if (labels != nullptr && labels->dtype != DType::i64)
    file.problem(fmt::format("'labels' is {}, expected i64", to_string(labels->dtype)));
  if (images != nullptr && labels != nullptr && images->shape[0] != labels->shape[0])
    file.problem(fmt::format("{} images and {} labels", images->shape[0], labels->shape[0]));
  std::vector<float> nchw;
  if (images != nullptr) nchw = file.values("images", images->shape);
  if (file.problems().empty()) {
    labels_.resize(static_cast<std::size_t>(labels->shape[0]));
    file.reader().read(*labels, std::as_writable_bytes(std::span(labels_)));
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      if (labels_[i] < 0 || labels_[i] >= classes)
        file.problem(fmt::format("'labels' element {} is {}, expected 0 to {}", i, labels_[i], classes - 1));
    }
  }
  if (!file.problems().empty()) throw DataError(fmt::format("{}", fmt::join(file.problems(), "\n")));

  const std::int64_t count = images->shape[0];
  const std::int64_t channels = images->shape[1];
  const std::int64_t pixels = images->shape[2] * images->shape[3];
  images_ = Buffer(nchw.size() * sizeof(float));
  float* nhwc = images_.f32().data();
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t p = 0; p < pixels; ++p)
        nhwc[(n * pixels + p) * channels + c] = nchw[static_cast<std::size_t>((n * channels + c) * pixels + p)];
    }
  }
  batch_.images = TensorView(nhwc, {count, images->shape[2], images->shape[3], channels});
  batch_.labels = TensorView(labels_.data(), {count}, DType::i64);
}

void TensorCollection::add(std::string name, std::vector<std::int64_t> shape, std::vector<float> values) {
  tensors_.push_back({std::move(name), std::move(shape), std::move(values)});
}

void TensorCollection::add_all(const std::string& prefix, const engine::ParameterSet& set) {
  const std::span<const engine::ParameterSpec> specs = set.table().specs();
  for (std::size_t i = 0; i < specs.size(); ++i)
    add(prefix + specs[i].name, specs[i].file_shape(), set.to_file(static_cast<int>(i)));
}

void TensorCollection::write(const std::filesystem::path& path) const {
  std::vector<engine::TensorToWrite> list;
  for (const Tensor& tensor : tensors_)
    list.push_back({tensor.name, DType::f32, tensor.shape, std::as_bytes(std::span(tensor.values))});
  engine::write_safetensors(path, list);
}

}  // namespace dnas::apps
