#pragma once

#include <cstddef>
#include <vector>

namespace dnas::simt {

/// The asynchronous copies of one thread. A GPU may carry a copy out at any time between its start and the wait for it;
/// the schedule chooses one of the two ends.
class AsyncCopies {
 public:
  /// `valid` of the `bytes` are read, the rest becomes 0.
  void start(void* to, const void* from, std::size_t bytes, std::size_t valid, bool at_once);
  void commit();

  /// Carries out all groups but the last `pending`.
  void wait(std::size_t pending);

  [[nodiscard]] bool all_waited_for() const { return copies_.empty(); }
  void forget();

 private:
  struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
    std::size_t valid;
    bool done;
  };

  static void carry_out(const Copy& copy);

  std::vector<Copy> copies_;
  std::vector<std::size_t> group_ends_;  // positions in copies_
};

}  // namespace dnas::simt
