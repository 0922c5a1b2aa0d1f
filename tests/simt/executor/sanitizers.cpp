#include "simt/executor/sanitizers.hpp"

#if defined(__SANITIZE_THREAD__)
// Shared memory is used again by block after block: two races at one address are two races.
extern "C" __attribute__((used)) const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  return "suppress_equal_addresses=0";
}
#endif
