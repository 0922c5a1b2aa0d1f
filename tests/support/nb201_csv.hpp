#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace dnas::test {

/// A row of the benchmark itself: its number and the test accuracies on CIFAR-10, CIFAR-100 and ImageNet16-120.
struct Nb201Row {
  int index;
  const char* arch;
  const char* accuracies;
  const char* counts;  ///< parameters and multiply-adds, 10 classes
};

/// The best architectures on the three sets, in their order, one in between, and the one of skips alone.
inline constexpr std::array<Nb201Row, 5> nb201_rows = {{
    {6111, "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
     "94.3733,73.22,46.7111", "1073466,153272970"},
    {9930, "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
     "94.3633,73.5133,46.3444", "1288506,184730250"},
    {857, "|nor_conv_1x1~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
     "93.9867,72.88,47.3111", "858426,121815690"},
    {1, "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
     "93.66,70.2933,44.0333", "802426,113951370"},
    {1835, "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
     "54.2967,15.6067,16.3222", "73306,7783050"},
}};

/// All 15,625 architectures, in the order of their codes.
inline std::vector<std::string> nb201_architecture_texts() {
  constexpr std::array<const char*, 5> ops = {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"};
  std::vector<std::string> texts;
  for (const std::string a : ops)
    for (const std::string b : ops)
      for (const std::string c : ops)
        for (const std::string d : ops)
          for (const std::string e : ops)
            for (const std::string f : ops)
              texts.push_back("|" + a + "~0|+|" + b + "~0|" + c + "~1|+|" + d + "~0|" + e + "~1|" + f + "~2|");
  return texts;
}

/// A table of all architectures as lines of a CSV file, the first its names: the rows above as they are; the others
/// with made-up figures, accuracies below those of the best rows above, and some index. `code / 173` per cent on
/// CIFAR-10 and so on, so that they rise with the code.
inline std::vector<std::string> nb201_csv_lines() {
  const std::vector<std::string> archs = nb201_architecture_texts();
  const int count = static_cast<int>(archs.size());
  std::vector<int> index(archs.size());
  std::vector<int> at(archs.size());
  for (int code = 0; code < count; ++code) {
    index[static_cast<std::size_t>(code)] =
        (7 * code + 3) % count;  // every index once: 7 and 5^6 have no factor in common
    at[static_cast<std::size_t>((7 * code + 3) % count)] = code;
  }
  std::vector<std::string> figures(archs.size());
  for (int code = 0; code < count; ++code) {
    std::array<char, 128> text{};
    std::snprintf(text.data(), text.size(), "%.4f,%.4f,%.4f,%d,%d", code / 173.0, code / 250.0, code / 500.0,
                  1'531'546 - code, 220'119'690 - code);
    figures[static_cast<std::size_t>(code)] = text.data();
  }
  for (const Nb201Row& row : nb201_rows) {
    std::size_t code = 0;
    while (archs[code] != row.arch)
      ++code;
    const auto other = static_cast<std::size_t>(at[static_cast<std::size_t>(row.index)]);
    std::swap(index[code], index[other]);
    std::swap(at[static_cast<std::size_t>(index[code])], at[static_cast<std::size_t>(index[other])]);
    figures[code] = std::string(row.accuracies) + "," + row.counts;
  }
  std::vector<std::string> lines = {"index,arch,c10_test,c100_test,im16_test,params_c10,macs_c10"};
  for (std::size_t i = 0; i < archs.size(); ++i) {
    const std::size_t code = (i * 11 + 5) % archs.size();  // in no order that means anything
    lines.push_back(std::to_string(index[code]) + "," + archs[code] + "," + figures[code]);
  }
  return lines;
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines)
    text += line + "\n";
  return text;
}

}  // namespace dnas::test
