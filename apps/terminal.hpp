#pragma once

namespace dnas::apps {

enum class ColorMode { automatic, always, never };

[[nodiscard]] bool is_terminal(int descriptor) noexcept;

/// Columns of the terminal behind a descriptor; COLUMNS or 80 where it does not say.
[[nodiscard]] int terminal_width(int descriptor) noexcept;

/// Whether to colour what is written to a descriptor. `automatic`: only a terminal, unless NO_COLOR is set (to
/// anything but "", see no-color.org) or TERM is "dumb".
[[nodiscard]] bool use_color(ColorMode mode, int descriptor) noexcept;

}  // namespace dnas::apps
