#include "ops/matmul_cublaslt.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/product_layout.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace dnas::kernels::cuda {

namespace {

// Parts in the compute type, added in a step of their own, or no parts at all.
constexpr std::uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;

constexpr int candidates = 16;  // that the heuristic is asked for

cudaDataType_t type_of(DType dtype) {
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

template <typename T>
void set(const CublasLtDesc& desc, cublasLtMatmulDescAttributes_t name, const T& value) {
  DNAS_CUDA_CHECK(cublasLtMatmulDescSetAttribute(desc.get(), name, &value, sizeof value));
}

template <typename T>
void set(const CublasLtPreference& preference, cublasLtMatmulPreferenceAttributes_t name, const T& value) {
  DNAS_CUDA_CHECK(cublasLtMatmulPreferenceSetAttribute(preference.get(), name, &value, sizeof value));
}

CublasLtLayout layout(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
  cublasLtMatrixLayout_t raw = nullptr;
  DNAS_CUDA_CHECK(cublasLtMatrixLayoutCreate(&raw, type_of(dtype), static_cast<std::uint64_t>(rows),
                                             static_cast<std::uint64_t>(columns), stride));
  return CublasLtLayout(raw);
}

CublasLtDesc product_desc(const ColumnMajorProduct& p, const MatmulOptions& options) {
  cublasLtMatmulDesc_t raw = nullptr;
  DNAS_CUDA_CHECK(cublasLtMatmulDescCreate(
      &raw, options.product == Product::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
  CublasLtDesc desc(raw);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (options.bias) {
    set(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    // Some versions look for algorithms only if there is an address. It is not read; run() sets the real one.
    constexpr std::uintptr_t somewhere = 4096;
    set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, somewhere);
  }
  return desc;
}

/// The roles of a product: D is the one that is written.
struct Roles {
  const PlannedView* a;
  const PlannedView* b;
  const PlannedView* d;
};

Roles roles_of(Pass pass, const PlannedView& x, const PlannedView& w, const PlannedView& y) {
  switch (pass) {
    case Pass::forward:
      return {&w, &x, &y};
    case Pass::backward_data:
      return {&w, &y, &x};
    default:
      return {&x, &y, &w};
  }
}

void check_types(const char* operation, Pass pass, const TensorView& x, const TensorView& w, const TensorView& y,
                 const MatmulOptions& options) {
  const DType dtype = options.product == Product::bf16 ? DType::bf16 : DType::f32;
  const auto names = names_of(pass);
  const std::array views{&x, &w, &y};
  const std::size_t written = pass == Pass::forward ? 2 : pass == Pass::backward_data ? 0 : 1;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const DType found = views[i]->dtype;
    const bool may_be_f32 = i == written;
    const DType wanted = i == written && pass == Pass::backward_weight ? DType::f32 : dtype;
    if (found != wanted && !(may_be_f32 && found == DType::f32)) {
      throw DtypeError(
          fmt::format("{}: {} is {}, expected {}", operation, names.at(i), to_string(found), to_string(wanted)));
    }
  }
  if (options.bias && (pass != Pass::forward || y.dtype != DType::f32)) {
    throw ConfigError(fmt::format("{}: bias is set, expected it for a forward pass with y f32 only", operation));
  }
}

/// x and y of any rank, with `y_shape` for y.
void check_shapes(const char* operation, Pass pass, const TensorView& x, const TensorView& w, const TensorView& y,
                  const Shape& y_shape) {
  const auto names = names_of(pass);
  check_planned({operation, names[0]}, x, x.shape, x.dtype);
  check_planned({operation, names[1]}, w, {w.shape[0], x.channels()}, w.dtype);
  check_planned({operation, names[2]}, y, y_shape, y.dtype);
  if (!w.dense()) throw ShapeError(fmt::format("{}: {} is a slice, expected it dense", operation, names[1]));
  if (x.elements() == 0 || w.elements() == 0) {
    throw ShapeError(fmt::format("{}: {} {} and {} {} make an empty product", operation, names[0], x.shape.to_string(),
                                 names[1], w.shape.to_string()));
  }
}

void check_rank(const char* operation, const char* name, const TensorView& view, int rank) {
  if (view.shape.rank() != rank) {
    throw ShapeError(
        fmt::format("{}: {} is {}, expected a tensor of rank {}", operation, name, view.shape.to_string(), rank));
  }
}

const char* linear_name(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "linear_forward";
    case Pass::backward_data:
      return "linear_backward_data";
    default:
      return "linear_backward_weight";
  }
}

const char* pointwise_name(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "pointwise_conv_forward";
    case Pass::backward_data:
      return "pointwise_conv_backward_data";
    default:
      return "pointwise_conv_backward_weight";
  }
}

}  // namespace

MatmulPlan::MatmulPlan(cublasLtHandle_t handle, const char* operation, Pass pass, const TensorView& x,
                       const TensorView& w, const TensorView& y, const MatmulOptions& options)
    : operation_(operation),
      pass_(pass),
      bias_(options.bias),
      beta_(options.write == Write::accumulate ? 1.0F : 0.0F),
      x_(x),
      w_(w),
      y_(y) {
  check_types(operation, pass, x, w, y, options);
  const ColumnMajorProduct p =
      column_major(pass, {x.pixels(), x.channels(), y.channels(), x.pixel_stride, y.pixel_stride});
  const Roles roles = roles_of(pass, x_, w_, y_);
  product_ = product_desc(p, options);
  a_ = layout(roles.a->dtype(), p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda);
  b_ = layout(roles.b->dtype(), p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.ldb);
  d_ = layout(roles.d->dtype(), p.m, p.n, p.ldd);
  choose(handle, options);
}

void MatmulPlan::choose(cublasLtHandle_t handle, const MatmulOptions& options) {
  cublasLtMatmulPreference_t raw = nullptr;
  DNAS_CUDA_CHECK(cublasLtMatmulPreferenceCreate(&raw));
  const CublasLtPreference preference(raw);
  const Roles roles = roles_of(pass_, x_, w_, y_);
  const auto alignment = [](const PlannedView* view) { return static_cast<std::uint32_t>(view->alignment()); };
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{options.workspace_limit});
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction_schemes);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(roles.a));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(roles.b));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(roles.d));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(roles.d));

  std::array<cublasLtMatmulHeuristicResult_t, candidates> results{};
  int count = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, product_.get(), a_.get(), b_.get(), d_.get(), d_.get(), preference.get(),
                                     candidates, results.data(), &count);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) DNAS_CUDA_CHECK(status);
  for (int i = 0; i < count; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = results.at(static_cast<std::size_t>(i));
    std::uint32_t scheme = 0;
    if (result.state != CUBLAS_STATUS_SUCCESS || result.workspaceSize > options.workspace_limit) continue;
    DNAS_CUDA_CHECK(cublasLtMatmulAlgoConfigGetAttribute(&result.algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
                                                         sizeof scheme, nullptr));
    if ((scheme & ~reduction_schemes) != 0) continue;
    algorithm_ = result.algo;
    workspace_bytes_ = result.workspaceSize;
    return;
  }
  throw UnsupportedError(
      fmt::format("{}: cuBLASLt {} has no algorithm for {} rows, {} inputs and {} outputs with {} bytes of workspace",
                  operation_, cublasLtGetVersion(), x_.shape().elements() / x_.shape()[-1], x_.shape()[-1],
                  y_.shape()[-1], options.workspace_limit));
}

void MatmulPlan::run(cublasLtHandle_t handle, const TensorView& x, const TensorView& w, const TensorView& b,
                     const TensorView& y, std::span<std::byte> workspace, void* stream) {
  const auto names = names_of(pass_);
  x_.check({operation_, names[0]}, x);
  w_.check({operation_, names[1]}, w);
  y_.check({operation_, names[2]}, y);
  check::workspace(operation_, workspace, workspace_bytes_, library_workspace_alignment);
  if (bias_) {
    check::dense({operation_, "b"}, b, {y.channels()});
    set(product_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, b.data);
  } else if (b) {
    throw ConfigError(fmt::format("{}: b is given, but the plan has no bias", operation_));
  }

  const float alpha = 1.0F;
  const void* const first = pass_ == Pass::backward_weight ? x.data : w.data;
  const void* const second = pass_ == Pass::forward ? x.data : y.data;
  void* const result = pass_ == Pass::forward ? y.data : pass_ == Pass::backward_data ? x.data : w.data;
  DNAS_CUDA_CHECK(cublasLtMatmul(handle, product_.get(), &alpha, first, a_.get(), second, b_.get(), &beta_, result,
                                 d_.get(), result, d_.get(), &algorithm_, workspace.data(), workspace_bytes_,
                                 static_cast<cudaStream_t>(stream)));
}

MatmulPlan plan_linear(cublasLtHandle_t handle, Pass pass, const TensorView& x, const TensorView& w,
                       const TensorView& y, const MatmulOptions& options) {
  const char* const operation = linear_name(pass);
  const auto names = names_of(pass);
  check_rank(operation, names[0], x, 2);
  check_rank(operation, names[1], w, 2);
  check_shapes(operation, pass, x, w, y, {x.shape[0], w.shape[0]});
  return {handle, operation, pass, x, w, y, options};
}

MatmulPlan plan_pointwise_conv(cublasLtHandle_t handle, Pass pass, const PointwiseConv& conv, const TensorView& x,
                               const TensorView& w, const TensorView& y, const MatmulOptions& options) {
  const char* const operation = pointwise_name(pass);
  const auto names = names_of(pass);
  check_rank(operation, names[1], w, 2);
  const Shape y_shape = conv.output_shape(x.shape, w.shape[0]);
  if (conv.stride != 1 || conv.offset != 0) {
    throw UnsupportedError(fmt::format("{}: cuBLASLt takes stride 1 and offset 0 only, not {} and {}", operation,
                                       conv.stride, conv.offset));
  }
  if (conv.groups != 1) {
    throw UnsupportedError(fmt::format("{}: cuBLASLt takes one group only, not {}", operation, conv.groups));
  }
  check_shapes(operation, pass, x, w, y, y_shape);
  return {handle, operation, pass, x, w, y, options};
}

}  // namespace dnas::kernels::cuda
