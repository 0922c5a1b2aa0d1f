#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dnas {

/// The candidate closest to `name` by edit distance, or "" if none is close enough to be a slip of the keyboard.
[[nodiscard]] std::string nearest_match(std::string_view name, std::span<const std::string> candidates);

namespace detail {
[[noreturn]] void throw_duplicate_name(std::string_view family, std::string_view name);
[[noreturn]] void throw_unknown_name(std::string_view family, std::string_view name,
                                     std::span<const std::string> choices);
}  // namespace detail

/// The members of one family (relaxations, spaces, data sets ...) by name. `Entry` has a std::string `name`.
template <typename Entry>
class Registry {
 public:
  /// @param family  what a member is called in messages: "relaxation"
  explicit Registry(std::string family) : family_(std::move(family)) {}

  /// @throws Error if the name is taken
  void add(Entry entry) {
    if (find(entry.name) != nullptr) detail::throw_duplicate_name(family_, entry.name);
    entries_.push_back(std::move(entry));
  }

  /// nullptr if there is no such member
  [[nodiscard]] const Entry* find(std::string_view name) const noexcept {
    for (const Entry& entry : entries_) {
      if (entry.name == name) return &entry;
    }
    return nullptr;
  }

  /// @throws ConfigError naming the choices and the nearest match
  [[nodiscard]] const Entry& at(std::string_view name) const {
    if (const Entry* entry = find(name)) return *entry;
    detail::throw_unknown_name(family_, name, names());
  }

  [[nodiscard]] std::span<const Entry> entries() const noexcept { return entries_; }
  [[nodiscard]] const std::string& family() const noexcept { return family_; }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const Entry& entry : entries_)
      result.push_back(entry.name);
    return result;
  }

 private:
  std::string family_;
  std::vector<Entry> entries_;
};

}  // namespace dnas
