#include "simt/executor/context.hpp"

#include "simt/executor/sanitizers.hpp"

#include <boost/context/detail/fcontext.hpp>

namespace dnas::simt {
namespace {

using boost::context::detail::transfer_t;

// Whoever is left hands over the address where its context belongs, since that exists only after the switch.
void save_left_context(const transfer_t& transfer) {
  *static_cast<Context*>(transfer.data) = transfer.fctx;
}

void start(transfer_t transfer) {
  enter_executor();
  save_left_context(transfer);
  fiber_begins();
}

}  // namespace

Context make_context(Context /*old*/, std::byte* stack, std::size_t bytes) {
  return boost::context::detail::make_fcontext(stack + bytes, bytes, start);
}

Context empty_context() {
  return nullptr;
}

void destroy_context(Context /*context*/) noexcept {}  // lives on its stack

void switch_context(Context& from, Context& to) {
  save_left_context(boost::context::detail::jump_fcontext(to, &from));
}

}  // namespace dnas::simt
