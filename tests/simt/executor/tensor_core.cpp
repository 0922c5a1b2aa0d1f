#include "simt/executor/tensor_core.hpp"

#include "simt/executor/block.hpp"

#include <bit>
#include <cstdint>
#include <cstring>

namespace dnas::simt {
namespace {

constexpr int lanes = 32;
constexpr int rows = 16;
constexpr int columns = 8;

struct Multiplication {
  float* d;
  const unsigned* a;
  const unsigned* b;
};

/// Element e of those that share a register: one of TF32, whose low bits the tensor core does not read, or two
/// bfloat16.
template <int PerRegister>
float element(unsigned bits, int e) {
  if constexpr (PerRegister == 1) {
    return std::bit_cast<float>(bits & ~0x1FFFU);
  } else {
    return std::bit_cast<float>(e == 0 ? bits << 16U : bits & 0xFFFF0000U);
  }
}

template <int Depth, int PerRegister>
void multiply(void* const* slots, unsigned arrived) {
  if (arrived != all_lanes) throw Misuse("mma needs all lanes of a warp");
  float a[rows][Depth];
  float b[Depth][columns];
  for (int lane = 0; lane < lanes; ++lane) {
    const auto& mine = *static_cast<const Multiplication*>(slots[lane]);
    const int group = lane / 4;
    const int member = lane % 4;
    for (int e = 0; e < PerRegister; ++e) {
      const int k = member * PerRegister + e;
      for (int r = 0; r < 4; ++r)
        a[group + r % 2 * 8][k + r / 2 * (Depth / 2)] = element<PerRegister>(mine.a[r], e);
      for (int r = 0; r < 2; ++r)
        b[k + r * (Depth / 2)][group] = element<PerRegister>(mine.b[r], e);
    }
  }
  float product[rows][columns] = {};
  for (int row = 0; row < rows; ++row) {
    for (int k = 0; k < Depth; ++k) {
      for (int column = 0; column < columns; ++column)
        product[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < lanes; ++lane) {
    for (int r = 0; r < 4; ++r) {
      static_cast<const Multiplication*>(slots[lane])->d[r] += product[lane / 4 + r / 2 * 8][lane % 4 * 2 + r % 2];
    }
  }
}

/// Fragments are a lane's own: they are copied, so that ThreadSanitizer sees no other lane touch the kernel's
/// variables.
template <int Depth, int PerRegister>
void multiply_with_warp(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Place& place) {
  const InExecutor guard;
  float sum[4];
  std::memcpy(sum, d, sizeof sum);
  Multiplication mine{sum, a, b};
  running_block->warp_operation(all_lanes, multiply<Depth, PerRegister>, &mine, Memory::unordered, place);
  std::memcpy(d, sum, sizeof sum);
}

struct Load {
  std::uint16_t row[8];
  unsigned* registers;
};

template <int Matrices, bool Transposed>
void distribute(void* const* slots, unsigned arrived) {
  if (arrived != all_lanes) throw Misuse("ldmatrix needs all lanes of a warp");
  const auto at = [slots](int matrix, int row, int column) {
    return unsigned{static_cast<const Load*>(slots[matrix * 8 + row])->row[column]};
  };
  for (int lane = 0; lane < lanes; ++lane) {
    const int group = lane / 4;
    const int member = lane % 4;
    for (int m = 0; m < Matrices; ++m) {
      const unsigned low = Transposed ? at(m, 2 * member, group) : at(m, group, 2 * member);
      const unsigned high = Transposed ? at(m, 2 * member + 1, group) : at(m, group, 2 * member + 1);
      static_cast<const Load*>(slots[lane])->registers[m] = low | high << 16U;
    }
  }
}

}  // namespace

void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Place& place) {
  multiply_with_warp<8, 1>(d, a, b, place);
}

void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Place& place) {
  multiply_with_warp<16, 2>(d, a, b, place);
}

template <int Matrices, bool Transposed>
void ldmatrix(unsigned (&registers)[Matrices], const void* row, const Place& place) {
  Load mine{};
  const bool names_a_row = running_block->lane() < Matrices * 8;
  if (names_a_row) {
    if (reinterpret_cast<std::uintptr_t>(row) % sizeof mine.row != 0)
      throw Misuse("ldmatrix at " + text(place) + ": the row is misaligned");
    if (!running_block->memory().contains(row))
      throw Misuse("ldmatrix at " + text(place) + ": the row is not in an array of SharedMemory");
    std::memcpy(mine.row, row, sizeof mine.row);  // the kernel's own access, for sanitizers to look at
  }
  const InExecutor guard;
  unsigned loaded[Matrices];
  mine.registers = loaded;
  running_block->warp_operation(all_lanes, distribute<Matrices, Transposed>, &mine, Memory::unordered, place);
  std::memcpy(registers, loaded, sizeof loaded);
}

template void ldmatrix<2, false>(unsigned (&)[2], const void*, const Place&);
template void ldmatrix<2, true>(unsigned (&)[2], const void*, const Place&);
template void ldmatrix<4, false>(unsigned (&)[4], const void*, const Place&);
template void ldmatrix<4, true>(unsigned (&)[4], const void*, const Place&);

}  // namespace dnas::simt
