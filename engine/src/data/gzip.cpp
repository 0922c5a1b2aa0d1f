#include "data/gzip.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/core.h>
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>

namespace dnas::engine::data {
namespace {

constexpr int gzip_window_bits = 15 + 16;  // zlib's way to say: the largest window, in a gzip frame
/// Deflate cannot expand a byte to more than this many.
constexpr std::uint64_t max_expansion = 1032;
/// Content that is unpacked at first where nobody said how much there is.
constexpr std::size_t first_piece = std::size_t{64} << 10;

class Inflater {
 public:
  Inflater(std::span<const std::uint8_t> compressed, std::string_view name) : compressed_(compressed), name_(name) {
    if (inflateInit2(&stream_, gzip_window_bits) != Z_OK) throw std::bad_alloc();
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  /// Fills `out` as far as the content goes; returns the bytes written.
  std::size_t read(std::span<std::uint8_t> out) {
    std::size_t done = 0;
    while (done < out.size() && !ended_)
      done += step(out.subspan(done));
    return done;
  }

  /// Whether the content ended here, its checksum agreed and nothing follows. To be asked when all content was read.
  bool at_end() {
    std::uint8_t surplus = 0;
    while (!ended_) {
      if (step({&surplus, 1}) != 0) return false;
    }
    if (consumed_ != compressed_.size()) {
      throw DataError(fmt::format("{}: {} bytes follow the gzip stream", name_, compressed_.size() - consumed_));
    }
    return true;
  }

 private:
  std::size_t step(std::span<std::uint8_t> out) {
    constexpr std::size_t max_piece = std::numeric_limits<uInt>::max();
    const std::span<const std::uint8_t> in = compressed_.subspan(consumed_);
    stream_.next_in = const_cast<Bytef*>(in.data());  // zlib's interface lacks the const; it does not write there
    stream_.avail_in = static_cast<uInt>(std::min(in.size(), max_piece));
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(std::min(out.size(), max_piece));
    const uInt in_before = stream_.avail_in;
    const uInt out_before = stream_.avail_out;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    const std::size_t consumed = in_before - stream_.avail_in;
    const std::size_t written = out_before - stream_.avail_out;
    consumed_ += consumed;
    if (result == Z_STREAM_END) {
      ended_ = true;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      throw DataError(fmt::format("{}: damaged gzip stream near byte {}: {}; fetch the file again", name_, consumed_,
                                  stream_.msg != nullptr ? stream_.msg : "unknown error"));
    } else if (consumed == 0 && written == 0) {
      throw DataError(fmt::format("{}: the gzip stream ends in the middle, after {} bytes; fetch the file again", name_,
                                  consumed_));
    }
    return written;
  }

  std::span<const std::uint8_t> compressed_;
  std::string_view name_;
  z_stream stream_{};
  std::size_t consumed_ = 0;
  bool ended_ = false;
};

}  // namespace

bool is_gzip(std::span<const std::uint8_t> bytes) noexcept {
  return bytes.size() >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B;
}

Bytes inflate_start(std::span<const std::uint8_t> compressed, std::size_t count, std::string_view name) {
  Bytes content(count);
  content.resize(Inflater(compressed, name).read(content));
  return content;
}

Bytes inflate_all(std::span<const std::uint8_t> compressed, std::uint64_t limit, std::string_view name) {
  Inflater inflater(compressed, name);
  Bytes content;
  for (;;) {
    const std::size_t old_size = content.size();
    content.resize(static_cast<std::size_t>(std::min<std::uint64_t>(limit + 1, 2 * old_size + first_piece)));
    const std::size_t count = inflater.read(std::span(content).subspan(old_size));
    const bool more = old_size + count == content.size();
    content.resize(old_size + count);
    if (content.size() > limit)
      throw DataError(fmt::format("{}: holds more than the {} bytes that are read of such a file", name, limit));
    if (!more && inflater.at_end()) return content;
  }
}

Bytes inflate_exactly(std::span<const std::uint8_t> compressed, std::uint64_t count, std::string_view name) {
  if (count / max_expansion > compressed.size()) {
    throw DataError(
        fmt::format("{}: {} compressed bytes cannot hold the {} that are expected", name, compressed.size(), count));
  }
  Inflater inflater(compressed, name);
  Bytes content(static_cast<std::size_t>(count));
  const std::size_t found = inflater.read(content);
  if (found != count) throw DataError(fmt::format("{}: holds {} bytes, expected {}", name, found, count));
  if (!inflater.at_end()) throw DataError(fmt::format("{}: holds more than the {} bytes expected", name, count));
  return content;
}

}  // namespace dnas::engine::data
