#include "io/hash.hpp"

#include "dnas/engine/file.hpp"

#include <fmt/core.h>

#include <new>

#define XXH_INLINE_ALL  // the header alone: no library to link
#include <xxhash.h>

namespace dnas::engine {
namespace {

std::string to_hex(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace

void Hasher::Free::operator()(void* state) const noexcept {
  XXH3_freeState(static_cast<XXH3_state_t*>(state));
}

Hasher::Hasher() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_.get()));
}

void Hasher::update(std::span<const std::byte> bytes) noexcept {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_.get()), bytes.data(), bytes.size());
}

std::string Hasher::digest() const {
  return to_hex(XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_.get())));
}

std::string hash_of(std::span<const std::byte> bytes) {
  return to_hex(XXH3_128bits(bytes.data(), bytes.size()));
}

}  // namespace dnas::engine
