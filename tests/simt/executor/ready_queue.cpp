#include "simt/executor/ready_queue.hpp"

#include <bit>
#include <utility>

namespace dnas::simt {

void ReadyQueue::Set::insert(unsigned thread) {
  lanes[thread / 32] |= 1U << thread % 32;
  warps |= 1U << thread / 32;
}

unsigned ReadyQueue::Set::take(bool last_warp, bool last_lane) {
  const auto choose = [](std::uint32_t bits, bool last) {
    return static_cast<unsigned>(last ? 31 - std::countl_zero(bits) : std::countr_zero(bits));
  };
  const unsigned warp = choose(warps, last_warp);
  const unsigned lane = choose(lanes[warp], last_lane);
  lanes[warp] &= ~(1U << lane);
  if (lanes[warp] == 0) warps &= ~(1U << warp);
  return warp * 32 + lane;
}

void ReadyQueue::reset(Schedule schedule, Random* random) {
  schedule_ = schedule;
  random_ = random;
  now_ = {};
  later_ = {};
  drawn_.clear();
}

void ReadyQueue::add(unsigned thread) {
  switch (schedule_) {
    case Schedule::ascending:
    case Schedule::descending:
      later_.insert(thread);
      break;
    case Schedule::by_warp:
      now_.insert(thread);
      break;
    case Schedule::shuffled:
      drawn_.push_back(thread);
      break;
  }
}

void ReadyQueue::add_after_others(unsigned thread) {
  if (schedule_ == Schedule::shuffled) {
    drawn_.push_back(thread);
  } else {
    later_.insert(thread);
  }
}

int ReadyQueue::take() {
  if (schedule_ == Schedule::shuffled) {
    if (drawn_.empty()) return nobody;
    std::swap(drawn_[random_->below(drawn_.size())], drawn_.back());
    const unsigned thread = drawn_.back();
    drawn_.pop_back();
    return static_cast<int>(thread);
  }
  if (now_.warps == 0) std::swap(now_, later_);
  if (now_.warps == 0) return nobody;
  return static_cast<int>(now_.take(schedule_ != Schedule::ascending, schedule_ == Schedule::descending));
}

}  // namespace dnas::simt
