#include "dnas/engine/parameters.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/kernels/rng.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dnas::engine {

namespace {

constexpr std::int64_t floats_per_line = static_cast<std::int64_t>(Buffer::alignment / sizeof(float));

/// Position in file order of each element in memory order.
template <typename Visit>
void for_each_element(const ParameterSpec& spec, Visit&& visit) {
  const Shape& s = spec.shape;
  if (spec.layout == ParameterLayout::depthwise) {  // [a, b, C] here, [C, 1, a, b] in files
    const std::int64_t taps = s[0] * s[1];
    for (std::int64_t t = 0; t < taps; ++t) {
      for (std::int64_t c = 0; c < s[2]; ++c)
        visit(t * s[2] + c, c * taps + t);
    }
  } else if (spec.layout == ParameterLayout::conv) {  // [O, a, b, I] here, [O, I, a, b] in files
    const std::int64_t taps = s[1] * s[2];
    for (std::int64_t o = 0; o < s[0]; ++o) {
      for (std::int64_t t = 0; t < taps; ++t) {
        for (std::int64_t i = 0; i < s[3]; ++i)
          visit((o * taps + t) * s[3] + i, (o * s[3] + i) * taps + t);
      }
    }
  } else {
    for (std::int64_t i = 0; i < s.elements(); ++i)
      visit(i, i);
  }
}

int rank_of(ParameterLayout layout) {
  switch (layout) {
    case ParameterLayout::vector:
      return 1;
    case ParameterLayout::matrix:
    case ParameterLayout::pointwise:
      return 2;
    case ParameterLayout::depthwise:
      return 3;
    case ParameterLayout::conv:
      return 4;
  }
  return 0;
}

void check_spec(const ParameterSpec& spec) {
  if (spec.shape.rank() != rank_of(spec.layout)) {
    throw ShapeError(fmt::format("parameter {}: is {}, expected {} extents by its layout", spec.name,
                                 spec.shape.to_string(), rank_of(spec.layout)));
  }
  if (spec.init == ParameterInit::uniform && spec.fan_in < 1) {
    throw ShapeError(fmt::format("parameter {}: fan-in is {}, expected at least 1", spec.name, spec.fan_in));
  }
}

}  // namespace

std::vector<std::int64_t> ParameterSpec::file_shape() const {
  switch (layout) {
    case ParameterLayout::vector:
      return {shape[0]};
    case ParameterLayout::matrix:
      return {shape[0], shape[1]};
    case ParameterLayout::pointwise:
      return {shape[0], shape[1], 1, 1};
    case ParameterLayout::depthwise:
      return {shape[2], 1, shape[0], shape[1]};
    case ParameterLayout::conv:
      return {shape[0], shape[3], shape[1], shape[2]};
  }
  return {};
}

int ParameterTable::declare(const ParameterSpec& spec) {
  check_spec(spec);
  if (const int existing = find(spec.name); existing >= 0) {
    const ParameterSpec& before = specs_[static_cast<std::size_t>(existing)];
    if (before.shape != spec.shape) {
      throw Error(fmt::format("parameter {}: declared as {}, earlier as {}", spec.name, spec.shape.to_string(),
                              before.shape.to_string()));
    }
    if (before.layout != spec.layout || before.init != spec.init || before.fan_in != spec.fan_in) {
      throw Error(fmt::format("parameter {}: declared again with another layout, init or fan-in", spec.name));
    }
    return existing;
  }
  const int index = static_cast<int>(specs_.size());
  specs_.push_back(spec);
  specs_.back().offset = extent_;
  index_.emplace(spec.name, index);
  extent_ += (spec.shape.elements() + floats_per_line - 1) / floats_per_line * floats_per_line;
  return index;
}

int ParameterTable::find(std::string_view name) const noexcept {
  const auto it = index_.find(name);
  return it == index_.end() ? -1 : it->second;
}

std::int64_t ParameterTable::count() const noexcept {
  std::int64_t n = 0;
  for (const ParameterSpec& spec : specs_)
    n += spec.shape.elements();
  return n;
}

ParameterSet::ParameterSet(std::shared_ptr<const ParameterTable> table)
    : table_(std::move(table)), buffer_(static_cast<std::size_t>(table_->extent()) * sizeof(float)) {}

TensorView ParameterSet::view(int index) noexcept {
  const ParameterSpec& spec = table_->specs()[static_cast<std::size_t>(index)];
  return {flat().data() + spec.offset, spec.shape};
}

std::span<const float> ParameterSet::values(int index) const noexcept {
  const ParameterSpec& spec = table_->specs()[static_cast<std::size_t>(index)];
  return flat().subspan(static_cast<std::size_t>(spec.offset), static_cast<std::size_t>(spec.shape.elements()));
}

void ParameterSet::initialise(std::uint64_t seed) {
  for (std::size_t index = 0; index < table_->specs().size(); ++index) {
    const ParameterSpec& spec = table_->specs()[index];
    const std::span<float> values =
        flat().subspan(static_cast<std::size_t>(spec.offset), static_cast<std::size_t>(spec.shape.elements()));
    if (spec.init != ParameterInit::uniform) {
      std::fill(values.begin(), values.end(), spec.init == ParameterInit::ones ? 1.0F : 0.0F);
      continue;
    }
    const Philox random(seed, Stream::weight_init, static_cast<std::uint32_t>(index));
    const auto bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(spec.fan_in)));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = bound * (2.0F * random.uniform(i) - 1.0F);
  }
}

std::vector<float> ParameterSet::to_file(int index) const {
  const std::span<const float> memory = values(index);
  std::vector<float> file(memory.size());
  for_each_element(table_->specs()[static_cast<std::size_t>(index)], [&](std::int64_t here, std::int64_t there) {
    file[static_cast<std::size_t>(there)] = memory[static_cast<std::size_t>(here)];
  });
  return file;
}

void ParameterSet::from_file(int index, std::span<const float> file) {
  const ParameterSpec& spec = table_->specs()[static_cast<std::size_t>(index)];
  if (static_cast<std::int64_t>(file.size()) != spec.shape.elements()) {
    throw ShapeError(
        fmt::format("parameter {}: {} values given, expected {}", spec.name, file.size(), spec.shape.elements()));
  }
  float* memory = view(index).f32();
  for_each_element(
      spec, [&](std::int64_t here, std::int64_t there) { memory[here] = file[static_cast<std::size_t>(there)]; });
}

}  // namespace dnas::engine
