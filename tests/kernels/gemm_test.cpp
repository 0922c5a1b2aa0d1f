#include "core/gemm.hpp"

#include <gtest/gtest.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

namespace dnas::kernels {
namespace {

using Function = void (*)(const Gemm&, const float*, const float*, float*);

struct Door {
  std::string name;
  Function multiply;
};

std::ostream& operator<<(std::ostream& out, const Door& door) {
  return out << door.name;
}

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// A deterministic, sign-changing sequence in [-1, 1] with NaN beyond each row's end.
std::vector<float> matrix(std::int64_t batch, std::int64_t step, std::int64_t rows, std::int64_t columns,
                          std::int64_t ld, std::uint32_t seed) {
  std::vector<float> values(static_cast<std::size_t>(std::max((batch - 1) * step, std::int64_t{0}) + rows * ld), nan);
  std::uint32_t state = seed;
  for (std::int64_t item = 0; item < batch; ++item) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        state = state * 1664525U + 1013904223U;
        values[static_cast<std::size_t>(item * step + i * ld + j)] =
            static_cast<float>(state >> 8U) / 8388608.0F - 1.0F;
      }
    }
  }
  return values;
}

std::vector<float> matrix_a(const Gemm& g, std::uint32_t seed) {
  return matrix(g.batch, g.a_step, g.trans_a ? g.k : g.m, g.trans_a ? g.m : g.k, g.lda, seed);
}

std::vector<float> matrix_b(const Gemm& g, std::uint32_t seed) {
  return matrix(g.batch, g.b_step, g.trans_b ? g.n : g.k, g.trans_b ? g.k : g.n, g.ldb, seed);
}

double element(const std::vector<float>& values, std::int64_t start, bool transposed, std::int64_t ld, std::int64_t i,
               std::int64_t j) {
  return values[static_cast<std::size_t>(start + (transposed ? j * ld + i : i * ld + j))];
}

// c (+)= op(a) op(b) in double.
std::vector<double> expected(const Gemm& g, const std::vector<float>& a, const std::vector<float>& b,
                             const std::vector<float>& c) {
  std::vector<double> result(c.begin(), c.end());
  for (std::int64_t item = 0; item < g.batch; ++item) {
    for (std::int64_t i = 0; i < g.m; ++i) {
      for (std::int64_t j = 0; j < g.n; ++j) {
        double sum = 0.0;
        for (std::int64_t p = 0; p < g.k; ++p)
          sum +=
              element(a, item * g.a_step, g.trans_a, g.lda, i, p) * element(b, item * g.b_step, g.trans_b, g.ldb, p, j);
        double& target = result[static_cast<std::size_t>(item * g.c_step + i * g.ldc + j)];
        const bool overwrite = g.write == Write::overwrite && (item == 0 || g.c_step != 0);
        target = overwrite ? sum : target + sum;
      }
    }
  }
  return result;
}

// Every element within the error of an f32 sum of k products below 1, NaN where NaN is expected.
void expect_near(const std::vector<float>& actual, const std::vector<double>& wanted, double terms) {
  const double tolerance = 1.2e-7 * terms + 1e-7;
  ASSERT_EQ(actual.size(), wanted.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(wanted[i])) {
      EXPECT_TRUE(std::isnan(actual[i])) << "element " << i << " lies outside c and was written";
    } else {
      EXPECT_NEAR(actual[i], wanted[i], tolerance) << "element " << i;
    }
  }
}

class GemmDoor : public testing::TestWithParam<Door> {
 protected:
  static void check(const Gemm& g) {
    SCOPED_TRACE(testing::Message() << "m " << g.m << " n " << g.n << " k " << g.k << " trans " << g.trans_a
                                    << g.trans_b << " batch " << g.batch << " accumulate "
                                    << (g.write == Write::accumulate));
    const std::vector<float> a = matrix_a(g, 1);
    const std::vector<float> b = matrix_b(g, 2);
    std::vector<float> c = matrix(g.batch, g.c_step, g.m, g.n, g.ldc, 3);
    const std::vector<double> wanted = expected(g, a, b, c);
    if (g.write == Write::overwrite) std::ranges::fill(c, nan);
    GetParam().multiply(g, a.data(), b.data(), c.data());
    expect_near(c, wanted, static_cast<double>(g.k * (g.c_step == 0 ? g.batch : 1)));
  }
};

TEST_P(GemmDoor, MatchesDoubleLoopsForAllTransposesAndRaggedSizes) {
  struct Size {
    std::int64_t m, n, k;
  };
  for (const auto& [m, n, k] : {Size{1, 1, 1}, Size{1, 17, 3}, Size{5, 4, 4}, Size{37, 10, 53}, Size{64, 16, 16},
                                Size{33, 65, 257}, Size{3, 130, 7}, Size{16, 16, 2049}}) {
    for (const bool trans_a : {false, true}) {
      for (const bool trans_b : {false, true}) {
        for (const std::int64_t gap : {0, 5}) {
          for (const Write write : {Write::overwrite, Write::accumulate}) {
            check({.m = m,
                   .n = n,
                   .k = k,
                   .lda = (trans_a ? m : k) + gap,
                   .ldb = (trans_b ? k : n) + gap,
                   .ldc = n + gap,
                   .trans_a = trans_a,
                   .trans_b = trans_b,
                   .write = write});
          }
        }
      }
    }
  }
}

TEST_P(GemmDoor, BatchOfSeparateResultsSharesOneTransposedMatrix) {
  for (const Write write : {Write::overwrite, Write::accumulate}) {
    check({.m = 7,
           .n = 70,
           .k = 300,
           .lda = 300,
           .ldb = 301,
           .ldc = 70,
           .trans_b = true,
           .write = write,
           .batch = 3,
           .a_step = 7 * 300,
           .c_step = 7 * 70});
  }
}

TEST_P(GemmDoor, BatchWithItsOwnTransposedMatrices) {
  check({.m = 3,
         .n = 9,
         .k = 5,
         .lda = 5,
         .ldb = 5,
         .ldc = 9,
         .trans_b = true,
         .batch = 4,
         .a_step = 15,
         .b_step = 45,
         .c_step = 27});
}

TEST_P(GemmDoor, BatchWithOneResultAddsUp) {
  for (const Write write : {Write::overwrite, Write::accumulate}) {
    check({.m = 6,
           .n = 11,
           .k = 8,
           .lda = 6,
           .ldb = 11,
           .ldc = 11,
           .trans_a = true,
           .write = write,
           .batch = 5,
           .a_step = 48,
           .b_step = 88,
           .c_step = 0});
  }
}

TEST_P(GemmDoor, EmptySumIsZero) {
  std::vector<float> c(6, nan);
  const float unused = nan;
  GetParam().multiply({.m = 2, .n = 3, .k = 0, .lda = 1, .ldb = 3, .ldc = 3}, &unused, &unused, c.data());
  EXPECT_EQ(c, std::vector<float>(6, 0.0F));
  GetParam().multiply({.m = 2, .n = 3, .k = 0, .lda = 1, .ldb = 3, .ldc = 3, .write = Write::accumulate}, &unused,
                      &unused, c.data());
  EXPECT_EQ(c, std::vector<float>(6, 0.0F));
}

TEST_P(GemmDoor, EmptyResultTouchesNothing) {
  float c = 7.0F;
  const float one = 1.0F;
  GetParam().multiply({.m = 0, .n = 1, .k = 1, .lda = 1, .ldb = 1, .ldc = 1}, &one, &one, &c);
  GetParam().multiply({.m = 1, .n = 0, .k = 1, .lda = 1, .ldb = 1, .ldc = 1}, &one, &one, &c);
  GetParam().multiply({.m = 1, .n = 1, .k = 1, .lda = 1, .ldb = 1, .ldc = 1, .batch = 0}, &one, &one, &c);
  EXPECT_EQ(c, 7.0F);
}

INSTANTIATE_TEST_SUITE_P(Doors, GemmDoor, testing::Values(Door{"library", gemm}, Door{"portable", portable_gemm}),
                         [](const auto& suite) { return suite.param.name; });

TEST(Gemm, ManyThreadsAskingForNewShapesAtOnceGetTheSameBits) {
  constexpr int threads = 4;
  constexpr std::int64_t most = 24;
  const Gemm largest{.m = most, .n = most, .k = most, .lda = most, .ldb = most, .ldc = most};
  const std::vector<float> a = matrix_a(largest, 5);
  const std::vector<float> b = matrix_b(largest, 6);
  std::vector<std::vector<float>> results(threads);
  std::atomic<int> ready = 0;
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      ++ready;
      while (ready < threads)
        std::this_thread::yield();
      for (std::int64_t size = 1; size <= most; ++size) {
        std::vector<float> c(static_cast<std::size_t>(most * most), 0.0F);
        gemm({.m = size, .n = size, .k = size, .lda = most, .ldb = most, .ldc = most}, a.data(), b.data(), c.data());
        results[static_cast<std::size_t>(t)].insert(results[static_cast<std::size_t>(t)].end(), c.begin(), c.end());
      }
    });
  }
  for (std::thread& thread : pool)
    thread.join();
  for (const std::vector<float>& result : results) {
    ASSERT_EQ(result.size(), results[0].size());
    EXPECT_EQ(std::memcmp(result.data(), results[0].data(), result.size() * sizeof(float)), 0);
  }
}

#ifdef __linux__
TEST(GemmDeathTest, WorksWhereTheSystemForbidsNewCode) {
  constexpr int set_deny_write_execute = 65;  // PR_SET_MDWE, PR_GET_MDWE: not in the headers of older systems
  constexpr int get_deny_write_execute = 66;
  if (prctl(get_deny_write_execute, 0, 0, 0, 0) < 0) GTEST_SKIP() << "needs Linux 6.3";
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own, in which the library has not started yet
  const auto multiply = [] {
    if (prctl(set_deny_write_execute, 1, 0, 0, 0) != 0) std::exit(2);
    const std::vector<float> a{1, 2};
    const std::vector<float> b{3, 4};
    float c = nan;
    gemm({.m = 1, .n = 1, .k = 2, .lda = 2, .ldb = 1, .ldc = 1}, a.data(), b.data(), &c);
    std::exit(c == 11.0F ? 0 : 1);
  };
  EXPECT_EXIT(multiply(), testing::ExitedWithCode(0), "");
}
#endif

TEST(Transpose, SwapsRowsAndColumnsAndKeepsToItsColumns) {
  constexpr std::int64_t rows = 35;
  constexpr std::int64_t columns = 19;
  const std::vector<float> source = matrix(1, 0, rows, columns, columns + 3, 9);
  std::vector<float> target(static_cast<std::size_t>(columns * (rows + 2)), nan);
  transpose(rows, columns, source.data(), columns + 3, target.data(), rows + 2);
  for (std::int64_t j = 0; j < columns; ++j) {
    for (std::int64_t i = 0; i < rows; ++i)
      EXPECT_EQ(target[static_cast<std::size_t>(j * (rows + 2) + i)],
                source[static_cast<std::size_t>(i * (columns + 3) + j)]);
    EXPECT_TRUE(std::isnan(target[static_cast<std::size_t>(j * (rows + 2) + rows)]));
  }
}

}  // namespace
}  // namespace dnas::kernels
