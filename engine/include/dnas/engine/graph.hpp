#pragma once

#include "dnas/engine/op.hpp"
#include "dnas/engine/parameters.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dnas::engine {

/// A value of a graph. `no_value` stands for an absent optional input.
using ValueId = std::int32_t;
inline constexpr ValueId no_value = -1;

/// Where a value's memory comes from.
enum class Storage : std::uint8_t {
  arena,      ///< planned; lives as long as somebody reads it
  input,      ///< bound by the caller before each run
  parameter,  ///< trainable, in the flat weight array
  gradient,   ///< of a parameter, at the same place in the flat gradient array
  state,      ///< persistent but not trained: running statistics
};

struct Value {
  TensorType type;
  Storage storage = Storage::arena;
  int slot = -1;  ///< input, parameter or state index
  // The value is `channel_offset`.. of another value's channels (concatenation, slices, accumulation in place).
  ValueId shares = no_value;
  std::int64_t channel_offset = 0;
};

struct Node {
  std::shared_ptr<const Op> op;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
};

/// Batch norm's behaviour is fixed when a graph is built: batch statistics (train) or running statistics (eval).
enum class Mode : std::uint8_t { train, eval };

/// The tensors of a network that outlive a step.
struct NetworkTables {
  std::shared_ptr<ParameterTable> parameters = std::make_shared<ParameterTable>();
  std::shared_ptr<ParameterTable> states = std::make_shared<ParameterTable>();
};

/// A static computation: values in single assignment form and the nodes that compute them, in executable order.
///
/// Built once, by the functions of nodes.hpp; extended by append_backward; then planned and run. Nodes with the same
/// operation and inputs are merged as they are added, so a pool that several edges ask for is computed once.
class Graph {
 public:
  Graph(Mode mode, NetworkTables tables) : mode_(mode), tables_(std::move(tables)) {}

  [[nodiscard]] Mode mode() const noexcept { return mode_; }
  [[nodiscard]] const NetworkTables& tables() const noexcept { return tables_; }

  /// A value the caller binds before each run. @throws Error if the name is taken
  ValueId input(const std::string& name, const TensorType& type);
  /// A trainable tensor, declared in the parameter table.
  ValueId parameter(const ParameterSpec& spec);
  /// A persistent tensor that is not trained, declared in the state table.
  ValueId state(const ParameterSpec& spec);

  /// Appends a node (or finds its equal) and returns its outputs.
  /// @throws ShapeError, DtypeError from the operation's inference
  std::span<const ValueId> add(std::shared_ptr<const Op> op, std::span<const ValueId> inputs);
  /// The same for an operation with one output.
  ValueId add1(std::shared_ptr<const Op> op, std::span<const ValueId> inputs);
  /// Appends a node even if there is an equal one: to compute the same once more.
  std::span<const ValueId> add_again(std::shared_ptr<const Op> op, std::span<const ValueId> inputs);

  /// Concatenation along the channels without a copy: the inputs are computed right into slices of the result. An input
  /// that already lives elsewhere (a parameter, a slice of another concatenation) is copied.
  ValueId concat(std::span<const ValueId> inputs);

  /// Keeps a value readable after a run, under a name. @throws Error if the graph has no such value
  void output(const std::string& name, ValueId value);

  /// Makes the memory of a fresh node output the gradient slot of a parameter. @throws Error if it has one already
  void store_as_gradient(ValueId value, ValueId parameter);

  [[nodiscard]] const Value& value(ValueId id) const { return values_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const TensorType& type(ValueId id) const;
  [[nodiscard]] const Shape& shape(ValueId id) const { return type(id).shape; }
  [[nodiscard]] std::span<const Value> values() const noexcept { return values_; }
  [[nodiscard]] std::span<const Node> nodes() const noexcept { return nodes_; }
  [[nodiscard]] std::span<const std::string> inputs() const noexcept { return input_names_; }
  [[nodiscard]] const std::map<std::string, ValueId, std::less<>>& outputs() const noexcept { return outputs_; }
  /// @throws Error if there is no such input / output
  [[nodiscard]] int input_slot(std::string_view name) const;
  [[nodiscard]] ValueId output(std::string_view name) const;

 private:
  ValueId new_value(const TensorType& type, Storage storage, int slot);

  Mode mode_;
  NetworkTables tables_;
  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<std::string> input_names_;
  std::map<std::pair<Storage, int>, ValueId> bound_;  // parameters, states and gradients that have a value
  std::map<std::string, std::size_t> merged_;         // key and inputs -> node
  std::map<std::string, ValueId, std::less<>> outputs_;
};

}  // namespace dnas::engine
