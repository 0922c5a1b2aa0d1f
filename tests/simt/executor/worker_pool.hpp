#pragma once

#include <functional>

namespace dnas::simt {

/// Calls task(0) .. task(count - 1) at the same time, one of them on the calling thread, and returns when all are done.
/// Threads are kept for the next call; calls take turns. The task must not throw.
void run_on_workers(unsigned count, const std::function<void(unsigned worker)>& task);

}  // namespace dnas::simt
