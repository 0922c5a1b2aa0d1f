#pragma once

#include <cstddef>

// Saving and restoring a place of execution: by Boost.Context (context_boost.cpp) or, where that is missing, by the C
// library (context_ucontext.cpp), which makes two system calls per switch and is 7 to 30 times slower.
namespace dnas::simt {

using Context = void*;  // as the implementation likes

/// A context that begins with fiber_begins() on the given stack. `old` is what was there before, or null.
[[nodiscard]] Context make_context(Context old, std::byte* stack, std::size_t bytes);

/// A context for a thread of the operating system, to be filled when it is left.
[[nodiscard]] Context empty_context();

void destroy_context(Context context) noexcept;

/// Saves where we are in `from` and goes on at `to`; returns when somebody switches to `from`.
void switch_context(Context& from, Context& to);

/// The first function of a new fiber, called after enter_executor(); never returns. Defined by fiber.cpp.
[[noreturn]] void fiber_begins();

}  // namespace dnas::simt
