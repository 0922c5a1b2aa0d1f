#include "dnas/kernels/error.hpp"
#include "io/safetensors_format.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>

namespace dnas::engine::safetensors {
namespace {

/// At most this much of a name from a file goes into a message.
std::string shown(std::string_view text) {
  return std::string(text.substr(0, 80));
}

/// Receives the JSON events of a header. A document tree of a 100 MB header would take gigabytes; this takes what the
/// tensors take. The grammar is { "__metadata__": {string: string}, name: {"dtype", "shape", "data_offsets"} ... }.
class HeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderParser(Header& header, std::uint64_t data_start, const std::filesystem::path& path)
      : header_(header), data_start_(data_start), path_(path) {}

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::outside:
        place_ = Place::top;
        return true;
      case Place::top_value:
        place_ = key_ == metadata_key ? Place::metadata : Place::tensor;
        if (place_ == Place::tensor) begin_tensor();
        return true;
      default:
        refuse("an object");
    }
  }

  bool end_object() override {
    if (place_ == Place::tensor) end_tensor();
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    switch (place_) {
      case Place::top:
        if (key_ == metadata_key) {
          if (std::exchange(has_metadata_, true)) fail("the key '__metadata__' appears twice");
        } else if (key_.size() > max_name_bytes) {
          fail(fmt::format("the name '{}...' has {} bytes, at most {} are allowed", shown(key_), key_.size(),
                           max_name_bytes));
        }
        place_ = Place::top_value;
        return true;
      case Place::metadata:
        if (header_.metadata.contains(key_)) fail(fmt::format("the metadata key '{}' appears twice", shown(key_)));
        return true;
      default:
        tensor_key();
        return true;
    }
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      header_.metadata.emplace(std::move(key_), std::move(value));
    } else if (place_ == Place::tensor && key_ == "dtype") {
      set_dtype(value);
    } else {
      refuse("a string");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::tensor || key_ == "dtype") refuse("an array");
    place_ = key_ == "shape" ? Place::shape : Place::offsets;
    return true;
  }

  bool end_array() override {
    if (place_ == Place::offsets && offsets_ != 2) {
      fail_tensor(fmt::format("data_offsets has {} numbers, expected 2", offsets_));
    }
    place_ = Place::tensor;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail_tensor(fmt::format("the number {} is too large", value));
    }
    if (place_ == Place::shape) {
      if (current().shape.size() == max_rank) fail_tensor(fmt::format("more than {} axes", max_rank));
      current().shape.push_back(static_cast<std::int64_t>(value));
    } else if (place_ == Place::offsets) {
      if (offsets_ == 2) fail_tensor("data_offsets has more than 2 numbers");
      (offsets_++ == 0 ? begin_ : end_) = value;
    } else {
      refuse("a number");
    }
    return true;
  }

  bool number_integer(number_integer_t value) override { refuse(fmt::format("the negative number {}", value)); }
  bool number_float(number_float_t, const string_t& text) override { refuse("the number " + shown(text)); }
  bool null() override { refuse("null"); }
  bool boolean(bool) override { refuse("a boolean"); }
  bool binary(binary_t&) override { refuse("binary data"); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    fail(fmt::format("not valid JSON at byte {}: {}", position + length_bytes, error.what()));
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError(fmt::format("{}: safetensors header: {}", path_.string(), what));
  }

 private:
  enum class Place { outside, top, top_value, metadata, tensor, shape, offsets };

  TensorInfo& current() { return header_.tensors.back(); }

  [[noreturn]] void fail_tensor(const std::string& what) {
    fail(fmt::format("tensor '{}': {}", header_.tensors.empty() ? "" : shown(current().name), what));
  }

  [[noreturn]] void refuse(const std::string& what) const {
    fail(fmt::format("{} is not allowed {}", what,
                     key_.empty() ? "here" : fmt::format("after the key '{}'", shown(key_))));
  }

  void begin_tensor() {
    header_.tensors.emplace_back().name = key_;
    has_dtype_ = has_shape_ = has_offsets_ = false;
    offsets_ = 0;
  }

  void tensor_key() {
    bool* const seen = key_ == "dtype"          ? &has_dtype_
                       : key_ == "shape"        ? &has_shape_
                       : key_ == "data_offsets" ? &has_offsets_
                                                : nullptr;
    if (seen == nullptr) fail_tensor(fmt::format("unknown key '{}'", shown(key_)));
    if (std::exchange(*seen, true)) fail_tensor(fmt::format("the key '{}' appears twice", key_));
  }

  void set_dtype(std::string_view name) {
    for (const DtypeName& known : dtype_names) {
      if (known.name != name) continue;
      current().dtype = known.dtype;
      return;
    }
    fail_tensor(fmt::format("dtype '{}' is not supported (F32, F64, BF16, F16, U8, I32, I64 are)", shown(name)));
  }

  void end_tensor() {
    if (!has_dtype_ || !has_shape_ || !has_offsets_) fail_tensor("dtype, shape and data_offsets are all needed");
    TensorInfo& tensor = current();
    if (begin_ > end_) fail_tensor(fmt::format("data_offsets [{}, {}] run backwards", begin_, end_));
    if (!checked_bytes(tensor.shape, tensor.dtype, tensor.bytes)) fail_tensor("the shape's size overflows");
    if (tensor.bytes != end_ - begin_) {
      fail_tensor(fmt::format("data_offsets [{}, {}] hold {} bytes, shape and dtype need {}", begin_, end_,
                              end_ - begin_, tensor.bytes));
    }
    tensor.offset = data_start_ + begin_;  // cannot overflow: begin_ <= 2^63 - 1, data_start_ is small
  }

  Header& header_;
  std::uint64_t data_start_;
  const std::filesystem::path& path_;
  Place place_ = Place::outside;
  std::string key_;
  bool has_metadata_ = false;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
  int offsets_ = 0;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

void check_names_differ(const HeaderParser& parser, const std::vector<TensorInfo>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors)
    names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) parser.fail(fmt::format("tensor '{}' appears twice", shown(*twin)));
}

void check_regions(const HeaderParser& parser, const std::vector<TensorInfo>& tensors, std::uint64_t data_start,
                   std::uint64_t file_bytes) {
  std::uint64_t expected = data_start;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset != expected) {
      parser.fail(fmt::format("tensor '{}' starts at byte {}, expected {}: tensors must follow each other without {}",
                              shown(tensor.name), tensor.offset, expected,
                              tensor.offset < expected ? "overlap" : "hole"));
    }
    expected += tensor.bytes;  // offset and bytes are below 2^63: no overflow
    if (expected > file_bytes) {
      parser.fail(fmt::format("tensor '{}' ends at byte {}, the file has {}: it was cut short", shown(tensor.name),
                              expected, file_bytes));
    }
  }
  if (expected != file_bytes) {
    parser.fail(fmt::format("the tensors end at byte {}, the file has {}: bytes that belong to no tensor", expected,
                            file_bytes));
  }
}

}  // namespace

bool checked_bytes(const std::vector<std::int64_t>& shape, DType dtype, std::uint64_t& bytes) noexcept {
  std::int64_t product = static_cast<std::int64_t>(size_of(dtype));
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(product, extent, &product)) return false;
  }
  bytes = static_cast<std::uint64_t>(product);
  return true;
}

Header parse_header(std::string_view json, std::uint64_t data_start, std::uint64_t file_bytes,
                    const std::filesystem::path& path) {
  Header header;
  HeaderParser parser(header, data_start, path);
  if (json.empty() || json.front() != '{') parser.fail("does not begin with '{'; is this a safetensors file?");
  // The JSON library takes a zero byte for the end of its input, so what follows one would go unseen.
  if (const std::size_t zero = json.find('\0'); zero != std::string_view::npos) {
    parser.fail(fmt::format("zero byte at {}", zero + length_bytes));
  }
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &parser)) parser.fail("not valid JSON");
  check_names_differ(parser, header.tensors);
  std::stable_sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;  // empty tensors before their neighbour
  });
  check_regions(parser, header.tensors, data_start, file_bytes);
  return header;
}

}  // namespace dnas::engine::safetensors
