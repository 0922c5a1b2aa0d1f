#include "core/gemm.hpp"

#include "core/gemm_kernel.hpp"
#include "core/simd.hpp"
#include "core/v16.hpp"

#include <algorithm>
#include <array>

namespace dnas::kernels {

namespace {

// The library has no kernels for a transposed b: tiles of it are transposed on the stack, 64 KiB, which
// holds the weights of every layer of a DARTS supernet with 16 channels.
constexpr std::int64_t packed_k = 256;
constexpr std::int64_t packed_n = 64;

// Longest sum in one kernel: longer ones would stream all of a and b through the cache once per tile of c.
constexpr std::int64_t longest_k = 1024;

constexpr std::int64_t transpose_tile = 16;

constexpr std::int64_t tile_rows = 4;

// c[4, 16] (+)= op(a)[4, k] b[k, 16], sums in registers.
template <int N>
DNAS_ALWAYS_INLINE void full_tile(const GemmKernelShape& s, const float* a, const float* b, float* c) {
  const std::int64_t row = s.trans_a ? 1 : s.lda;
  const std::int64_t column = s.trans_a ? s.lda : 1;
  V16<N> sums[tile_rows];
  for (V16<N>& sum : sums)
    sum.clear();
  for (std::int64_t p = 0; p < s.k; ++p, a += column, b += s.ldb) {
    for (std::int64_t i = 0; i < tile_rows; ++i)
      sums[i].multiply_add(a[i * row], b);
  }
  for (std::int64_t i = 0; i < tile_rows; ++i) {
    if (s.accumulate) sums[i].add(c + i * s.ldc);
    sums[i].store(c + i * s.ldc);
  }
}

// The same for fewer rows or columns.
DNAS_ALWAYS_INLINE void partial_tile(const GemmKernelShape& s, std::int64_t rows, std::int64_t columns, const float* a,
                                     const float* b, float* c) {
  const std::int64_t row = s.trans_a ? 1 : s.lda;
  const std::int64_t column = s.trans_a ? s.lda : 1;
  for (std::int64_t i = 0; i < rows; ++i) {
    std::array<float, lanes16> sums{};
    for (std::int64_t p = 0; p < s.k; ++p) {
      for (std::int64_t j = 0; j < columns; ++j)
        sums[static_cast<std::size_t>(j)] += a[i * row + p * column] * b[p * s.ldb + j];
    }
    for (std::int64_t j = 0; j < columns; ++j) {
      float& target = c[i * s.ldc + j];
      target = sums[static_cast<std::size_t>(j)] + (s.accumulate ? target : 0.0F);
    }
  }
}

template <int N>
DNAS_ALWAYS_INLINE void portable_product_body(const GemmKernelShape& s, const float* a, const float* b, float* c) {
  for (std::int64_t j = 0; j < s.n; j += lanes16) {
    const std::int64_t columns = std::min<std::int64_t>(lanes16, s.n - j);
    for (std::int64_t i = 0; i < s.m; i += tile_rows) {
      const std::int64_t rows = std::min(tile_rows, s.m - i);
      const float* a_tile = a + (s.trans_a ? i : i * s.lda);
      float* c_tile = c + i * s.ldc + j;
      if (rows == tile_rows && columns == lanes16) {
        full_tile<N>(s, a_tile, b + j, c_tile);
      } else {
        partial_tile(s, rows, columns, a_tile, b + j, c_tile);
      }
    }
  }
}

DNAS_ISA_VERSIONS(portable_product, portable_product_body,
                  (const GemmKernelShape& s, const float* a, const float* b, float* c), (s, a, b, c))

DNAS_MULTIVERSION
void transpose_rows(std::int64_t rows, std::int64_t columns, const float* src, std::int64_t ld_src, float* dst,
                    std::int64_t ld_dst) {
  for (std::int64_t i0 = 0; i0 < rows; i0 += transpose_tile) {
    const std::int64_t i1 = std::min(rows, i0 + transpose_tile);
    for (std::int64_t j = 0; j < columns; ++j) {
      for (std::int64_t i = i0; i < i1; ++i)
        dst[j * ld_dst + i] = src[i * ld_src + j];
    }
  }
}

// Kernel of one shape: the library's, or ours where it has none.
class Product {
 public:
  Product(const GemmKernelShape& shape, bool portable)
      : shape_(shape), kernel_(portable ? nullptr : find_gemm_kernel(shape)) {}

  void operator()(const float* a, const float* b, float* c) const {
    if (kernel_ != nullptr) {
      kernel_(b, a, c);
    } else {
      portable_product(shape_, a, b, c);
    }
  }

 private:
  GemmKernelShape shape_;
  GemmKernel kernel_;
};

void zero(const Gemm& g, float* c) {
  for (std::int64_t item = 0; item < g.batch; ++item) {
    for (std::int64_t i = 0; i < g.m; ++i)
      std::fill_n(c + item * g.c_step + i * g.ldc, g.n, 0.0F);
  }
}

// Columns [j, j + columns) of all c, terms [p, p + depth) of the sums.
void block(const Gemm& g, bool portable, std::int64_t j, std::int64_t columns, std::int64_t p, std::int64_t depth,
           const float* a, const float* b, float* c) {
  std::array<float, packed_k * packed_n> packed;
  GemmKernelShape shape{
      g.m, columns, depth, g.lda, g.trans_b ? columns : g.ldb, g.ldc, g.trans_a, g.write == Write::accumulate || p > 0};
  const Product first(shape, portable);
  shape.accumulate = shape.accumulate || g.c_step == 0;
  const Product later = g.batch > 1 ? Product(shape, portable) : first;

  for (std::int64_t item = 0; item < g.batch; ++item) {
    const float* a_block = a + item * g.a_step + (g.trans_a ? p * g.lda : p);
    const float* b_block = b + item * g.b_step + (g.trans_b ? j * g.ldb + p : p * g.ldb + j);
    if (g.trans_b) {
      if (item == 0 || g.b_step != 0) transpose_rows(columns, depth, b_block, g.ldb, packed.data(), columns);
      b_block = packed.data();
    }
    (item == 0 ? first : later)(a_block, b_block, c + item * g.c_step + j);
  }
}

void run(const Gemm& g, bool portable, const float* a, const float* b, float* c) {
  if (g.m == 0 || g.n == 0 || g.batch == 0) return;
  if (g.k == 0) {
    if (g.write == Write::overwrite) zero(g, c);
    return;
  }
  const std::int64_t columns = g.trans_b ? packed_n : g.n;
  const std::int64_t depth = g.trans_b ? packed_k : longest_k;
  for (std::int64_t j = 0; j < g.n; j += columns) {
    for (std::int64_t p = 0; p < g.k; p += depth)
      block(g, portable, j, std::min(columns, g.n - j), p, std::min(depth, g.k - p), a, b, c);
  }
}

}  // namespace

void gemm(const Gemm& g, const float* a, const float* b, float* c) {
  run(g, false, a, b, c);
}

void portable_gemm(const Gemm& g, const float* a, const float* b, float* c) {
  run(g, true, a, b, c);
}

void transpose(std::int64_t rows, std::int64_t columns, const float* src, std::int64_t ld_src, float* dst,
               std::int64_t ld_dst) {
  transpose_rows(rows, columns, src, ld_src, dst, ld_dst);
}

}  // namespace dnas::kernels
