#include "dnas/engine/dataset.hpp"

namespace dnas::engine {

const Registry<DatasetEntry>& datasets() {
  static const Registry<DatasetEntry> registry = [] {
    Registry<DatasetEntry> members("data set");
    register_datasets(members);
    return members;
  }();
  return registry;
}

}  // namespace dnas::engine
