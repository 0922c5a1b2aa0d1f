#include "core/gemm_kernel.hpp"

#include <libxsmm.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace dnas::kernels {

namespace {

// Whether the system lets us have memory that is writable and executable. Hardened services may not (systemd's
// MemoryDenyWriteExecute, SELinux's execmem); libxsmm 1.17 does not notice and would jump into data.
bool may_create_code() noexcept {
  constexpr std::size_t bytes = 4096;
  void* page = mmap(nullptr, bytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  munmap(page, bytes);
  return true;
}

}  // namespace

GemmKernel find_gemm_kernel(const GemmKernelShape& shape) noexcept {
  static const bool usable = may_create_code();
  if (!usable) return nullptr;
  constexpr std::int64_t limit = std::numeric_limits<libxsmm_blasint>::max();
  if (std::max({shape.m, shape.n, shape.k, shape.lda, shape.ldb, shape.ldc}) > limit) return nullptr;
  const auto m = static_cast<libxsmm_blasint>(shape.m);
  const auto n = static_cast<libxsmm_blasint>(shape.n);
  const auto k = static_cast<libxsmm_blasint>(shape.k);
  const auto lda = static_cast<libxsmm_blasint>(shape.lda);
  const auto ldb = static_cast<libxsmm_blasint>(shape.ldb);
  const auto ldc = static_cast<libxsmm_blasint>(shape.ldc);
  const float alpha = 1.0F;
  const float beta = shape.accumulate ? 1.0F : 0.0F;
  const int flags = shape.trans_a ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE;
  const int prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
  // Column-major c^T [n, m] = b^T [n, k] op(a)^T [k, m].
  return libxsmm_smmdispatch(n, m, k, &ldb, &lda, &ldc, &alpha, &beta, &flags, &prefetch);
}

}  // namespace dnas::kernels
