#include "simt/executor/async_copy.hpp"

#include "simt/executor/sanitizers.hpp"

#include <cstring>

namespace dnas::simt {

// What the kernel asked to be copied is its own doing, for a sanitizer to look at; the lists are not.

void AsyncCopies::carry_out(const Copy& copy) {
  std::memcpy(copy.to, copy.from, copy.valid);
  std::memset(static_cast<std::byte*>(copy.to) + copy.valid, 0, copy.bytes - copy.valid);
}

void AsyncCopies::start(void* to, const void* from, std::size_t bytes, std::size_t valid, bool at_once) {
  // To ThreadSanitizer a copy is under way for all that time: it writes at both ends.
  const Copy copy{to, from, bytes, valid, at_once && !thread_sanitizer};
  if (at_once || thread_sanitizer) carry_out(copy);
  const InExecutor guard;
  copies_.push_back(copy);
}

void AsyncCopies::commit() {
  const InExecutor guard;
  group_ends_.push_back(copies_.size());
}

void AsyncCopies::wait(std::size_t pending) {
  enter_executor();
  const std::size_t groups = group_ends_.size() > pending ? group_ends_.size() - pending : 0;
  const std::size_t end = groups > 0 ? group_ends_[groups - 1] : 0;
  for (std::size_t i = 0; i < end; ++i) {
    const Copy copy = copies_[i];
    if (copy.done) continue;
    leave_executor();
    carry_out(copy);
    enter_executor();
  }
  copies_.erase(copies_.begin(), copies_.begin() + static_cast<std::ptrdiff_t>(end));
  group_ends_.erase(group_ends_.begin(), group_ends_.begin() + static_cast<std::ptrdiff_t>(groups));
  for (std::size_t& group_end : group_ends_)
    group_end -= end;
  leave_executor();
}

void AsyncCopies::forget() {
  copies_.clear();
  group_ends_.clear();
}

}  // namespace dnas::simt
