#include "simt/executor/context.hpp"

#include "simt/executor/sanitizers.hpp"

#include <memory>

#include <ucontext.h>

namespace dnas::simt {
namespace {

void start() {
  enter_executor();
  fiber_begins();
}

}  // namespace

Context make_context(Context old, std::byte* stack, std::size_t bytes) {
  auto* const context = old != nullptr ? static_cast<ucontext_t*>(old) : static_cast<ucontext_t*>(empty_context());
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = bytes;
  context->uc_link = nullptr;
  makecontext(context, start, 0);
  return context;
}

Context empty_context() {
  return std::make_unique<ucontext_t>().release();
}

void destroy_context(Context context) noexcept {
  const std::unique_ptr<ucontext_t> owner(static_cast<ucontext_t*>(context));
}

void switch_context(Context& from, Context& to) {
  swapcontext(static_cast<ucontext_t*>(from), static_cast<ucontext_t*>(to));
}

}  // namespace dnas::simt
