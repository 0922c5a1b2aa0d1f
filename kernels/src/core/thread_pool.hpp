#pragma once

#include <cstdint>

namespace dnas::kernels {

/// Calls body(object, i) once for each i in [0, count), on the calling thread and up to threads - 1 workers, and
/// returns when all calls have returned. parallel_for.hpp is the convenient form.
///
/// The workers belong to the process: they are started when first asked for, wait for work without burning their
/// cores, and are never stopped. Allocates nothing once the workers are there. Any thread may call it, also from
/// inside a body; while another call is under way, everything runs on the caller. The body must not throw.
///
/// After fork() the child has no workers and starts its own; do not fork from inside a body.
void run_on_threads(int threads, std::int64_t count, void (*body)(void* object, std::int64_t index), void* object);

}  // namespace dnas::kernels
