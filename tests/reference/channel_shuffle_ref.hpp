#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dnas::reference {

/// Every pixel's `channels` channels written as a [groups, channels / groups] matrix, transposed, and read back.
inline std::vector<double> channel_shuffle(std::size_t channels, std::size_t groups, std::span<const double> x) {
  const std::size_t members = channels / groups;
  std::vector<double> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t pixel = i / channels;
    const std::size_t group = i % channels / members;
    const std::size_t member = i % members;
    y[pixel * channels + member * groups + group] = x[i];
  }
  return y;
}

}  // namespace dnas::reference
