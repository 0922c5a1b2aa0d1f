#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

#include <zlib.h>

namespace dnas::test {

/// An IDX file put together by hand: big-endian words, then bytes.
inline std::string idx_file(std::initializer_list<std::uint32_t> words, std::string_view content) {
  std::string file;
  for (const std::uint32_t word : words) {
    for (const int shift : {24, 16, 8, 0})
      file.push_back(static_cast<char>(word >> shift & 0xFF));
  }
  return file.append(content);
}

/// The content as gzip would compress it.
inline std::string gzipped(std::string_view content) {
  std::string copy(content);
  std::string out(compressBound(copy.size()) + 64, '\0');
  z_stream stream{};
  const int gzip_frame = 15 + 16;
  if (deflateInit2(&stream, 9, Z_DEFLATED, gzip_frame, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::runtime_error("zlib");
  stream.next_in = reinterpret_cast<Bytef*>(copy.data());
  stream.avail_in = static_cast<uInt>(copy.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("zlib");
  return out;
}

}  // namespace dnas::test
