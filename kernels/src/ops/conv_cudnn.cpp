#include "ops/conv_cudnn.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/widen_cuda.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace dnas::kernels::cuda {

namespace {

constexpr std::int64_t x_id = 1;
constexpr std::int64_t w_id = 2;
constexpr std::int64_t y_id = 3;

const char* name_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "conv_forward";
    case Pass::backward_data:
      return "conv_backward_data";
    default:
      return "conv_backward_weight";
  }
}

/// Attributes of the operation of a pass.
struct Attributes {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
};

Attributes attributes_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case Pass::backward_data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    default:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
}

/// cuDNN names axes in the order N, C, H, W whatever the layout; strides tell the layout.
CudnnDescriptor tensor(std::int64_t id, const PlannedView& view, cudnnDataType_t dtype) {
  const Shape& shape = view.shape();
  const std::int64_t row = shape[2] * view.pixel_stride();
  CudnnDescriptor result(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  result.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  result.set(CUDNN_ATTR_TENSOR_DATA_TYPE, dtype);
  result.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::array{shape[0], shape[3], shape[1], shape[2]});
  result.set(CUDNN_ATTR_TENSOR_STRIDES, std::array{shape[1] * row, std::int64_t{1}, row, view.pixel_stride()});
  result.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{view.alignment()});
  result.finalize();
  return result;
}

CudnnDescriptor convolution(const Conv& conv) {
  const std::array<std::int64_t, 2> padding{conv.padding_h, conv.padding_w};
  CudnnDescriptor result(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  result.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2});
  result.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  result.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  result.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding);
  result.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding);
  result.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::array<std::int64_t, 2>{conv.stride_h, conv.stride_w});
  result.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::array<std::int64_t, 2>{1, 1});
  result.finalize();
  return result;
}

/// Fills `descriptors` with what the attribute holds; the rest keep what they had.
std::size_t get(const CudnnDescriptor& from, cudnnBackendAttributeName_t name,
                std::span<cudnnBackendDescriptor_t> descriptors) {
  std::int64_t count = 0;
  DNAS_CUDA_CHECK(cudnnBackendGetAttribute(from.get(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                           static_cast<std::int64_t>(descriptors.size()), &count, descriptors.data()));
  return static_cast<std::size_t>(count);
}

std::int64_t get_int(const CudnnDescriptor& from, cudnnBackendAttributeName_t name) {
  std::int64_t value = 0;
  std::int64_t count = 0;
  DNAS_CUDA_CHECK(cudnnBackendGetAttribute(from.get(), name, CUDNN_TYPE_INT64, 1, &count, &value));
  return value;
}

/// Ways to compute the graph, the one thought fastest first.
std::vector<CudnnDescriptor> configurations(const CudnnDevice& device, const CudnnDescriptor& graph,
                                            cudnnBackendHeurMode_t mode) {
  CudnnDescriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  if (device.handle() == nullptr) heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device.properties());
  if (heuristic.try_finalize() != CUDNN_STATUS_SUCCESS) return {};  // nothing to be said of this graph
  const std::size_t count = get(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, {});

  std::vector<CudnnDescriptor> result;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::size_t i = 0; i < count; ++i)
    raw.push_back(result.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
  const std::size_t filled = get(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, raw);
  result.erase(result.begin() + static_cast<std::ptrdiff_t>(std::min(filled, count)), result.end());
  return result;
}

CudnnDescriptor engine_of(const CudnnDescriptor& configuration) {
  CudnnDescriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t raw = engine.get();
  get(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, std::span(&raw, 1));
  return engine;
}

bool suits(const CudnnDescriptor& engine, Product product) {
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
  std::int64_t count = 0;
  DNAS_CUDA_CHECK(cudnnBackendGetAttribute(engine.get(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                           std::int64_t{notes.size()}, &count, notes.data()));
  return engine_suits(std::span(notes).first(std::min(static_cast<std::size_t>(count), notes.size())), product);
}

void check_views(const char* operation, Pass pass, const Conv& conv, const TensorView& x, const TensorView& w,
                 const TensorView& y, const ConvOptions& options) {
  const DType dtype = options.product == Product::bf16 ? DType::bf16 : DType::f32;
  const auto names = names_of(pass);
  if (w.shape.rank() != 4) {
    throw ShapeError(
        fmt::format("{}: {} is {}, expected a tensor of rank 4", operation, names[1], w.shape.to_string()));
  }
  check_planned({operation, names[2]}, y, conv.output_shape(x.shape, w.shape[0]), dtype);
  check_planned({operation, names[0]}, x, x.shape, dtype);
  check_planned({operation, names[1]}, w, {w.shape[0], conv.kernel_h, conv.kernel_w, x.channels()},
                pass == Pass::backward_weight ? DType::f32 : dtype);
  if (!w.dense()) throw ShapeError(fmt::format("{}: {} is a channel slice, expected it dense", operation, names[1]));
  if (pass == Pass::forward && options.write == Write::accumulate) {
    throw ConfigError(fmt::format("{}: write is accumulate, expected overwrite", operation));
  }
}

}  // namespace

bool engine_suits(std::span<const cudnnBackendNumericalNote_t> notes, Product product) {
  return std::ranges::all_of(notes, [&](cudnnBackendNumericalNote_t note) {
    if (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE) return product != Product::tf32x3;
    return note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
  });
}

ConvPlan::ConvPlan(const CudnnDevice& device, Pass pass, const Conv& conv, const TensorView& x, const TensorView& w,
                   const TensorView& y, const ConvOptions& options)
    : pass_(pass), write_(options.write), x_(x), w_(w), y_(y), plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  const char* const operation = name_of(pass);
  check_views(operation, pass, conv, x, w, y, options);

  // No engine has bfloat16 operands and an f32 dw. So dw is rounded to bfloat16 once, after its f32 sum.
  const bool bf16 = options.product == Product::bf16;
  const bool widened = bf16 && pass == Pass::backward_weight;
  if (widened) {
    constexpr std::size_t unit = library_workspace_alignment;  // what follows is the engine's
    rounded_dw_bytes_ = (static_cast<std::size_t>(w.elements()) * size_of(DType::bf16) + unit - 1) / unit * unit;
  }
  const bool add = write_ == Write::accumulate && !widened;

  const Attributes names = attributes_of(pass);
  const cudnnDataType_t dtype = bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  CudnnDescriptor product(names.operation);
  product.set(names.conv, convolution(conv));
  product.set(names.x, tensor(x_id, x_, dtype));
  product.set(names.w, tensor(w_id, widened ? PlannedView(TensorView(nullptr, w.shape)) : w_, dtype));
  product.set(names.y, tensor(y_id, y_, dtype));
  product.set(names.alpha, 1.0F);
  product.set(names.beta, add ? 1.0F : 0.0F);
  product.finalize();

  CudnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, product);
  if (device.handle() != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, device.handle());
  graph.finalize();
  choose(device, graph, options);
}

void ConvPlan::choose(const CudnnDevice& device, const CudnnDescriptor& graph, const ConvOptions& options) {
  std::size_t least = SIZE_MAX;  // workspace of those that failed by it alone
  std::string refusal;           // of the last one that suits and cannot be planned
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (const CudnnDescriptor& configuration : configurations(device, graph, mode)) {
      const CudnnDescriptor engine = engine_of(configuration);
      if (!suits(engine, options.product)) continue;
      CudnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      if (device.handle() != nullptr) {
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, device.handle());
      } else {
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device.properties());
      }
      if (const cudnnStatus_t status = plan.try_finalize(); status != CUDNN_STATUS_SUCCESS) {
        refusal = "; of the last one it says: " + status_text(status);
        continue;
      }
      const auto bytes = static_cast<std::size_t>(get_int(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
      if (rounded_dw_bytes_ + bytes <= options.workspace_limit) {
        engine_ = get_int(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
        engine_bytes_ = bytes;
        plan_ = std::move(plan);
        return;
      }
      least = std::min(least, rounded_dw_bytes_ + bytes);
    }
  }
  throw UnsupportedError(
      fmt::format("{}: cuDNN {} has no deterministic engine for x {}, w {} with {} bytes of workspace{}",
                  name_of(pass_), cudnnGetVersion(), x_.shape().to_string(), w_.shape().to_string(),
                  options.workspace_limit, least == SIZE_MAX ? refusal : fmt::format("; {} would do", least)));
}

void ConvPlan::run(cudnnHandle_t handle, const TensorView& x, const TensorView& w, const TensorView& y,
                   std::span<std::byte> workspace, void* stream) const {
  const char* const operation = name_of(pass_);
  const auto names = names_of(pass_);
  x_.check({operation, names[0]}, x);
  w_.check({operation, names[1]}, w);
  y_.check({operation, names[2]}, y);
  check::workspace(operation, workspace, workspace_bytes(), library_workspace_alignment);

  const bool widened = rounded_dw_bytes_ > 0;
  void* const filter = widened ? static_cast<void*>(workspace.data()) : w.data;
  CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::array{x_id, w_id, y_id});
  pack.set_pointers(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::array{x.data, filter, y.data});
  pack.set_pointers(CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                    std::array{static_cast<void*>(workspace.data() + rounded_dw_bytes_)});
  pack.finalize();
  DNAS_CUDA_CHECK(cudnnSetStream(handle, static_cast<cudaStream_t>(stream)));
  DNAS_CUDA_CHECK(cudnnBackendExecute(handle, plan_.get(), pack.get()));
  if (widened) widen(filter, w.f32(), w.elements(), write_, stream);
}

}  // namespace dnas::kernels::cuda
