#pragma once

#include <cstdint>

// Vector types of CUDA, with their alignments: kernels move 8 and 16 bytes at a time through them.

// NOLINTBEGIN(readability-identifier-naming): the names are CUDA's.
struct int2 {
  alignas(8) int x;
  int y;
};
struct int3 {
  int x;
  int y;
  int z;
};
struct int4 {
  alignas(16) int x;
  int y;
  int z;
  int w;
};
struct uint2 {
  alignas(8) unsigned x;
  unsigned y;
};
struct uint3 {
  unsigned x;
  unsigned y;
  unsigned z;
};
struct uint4 {
  alignas(16) unsigned x;
  unsigned y;
  unsigned z;
  unsigned w;
};
struct float2 {
  alignas(8) float x;
  float y;
};
struct float3 {
  float x;
  float y;
  float z;
};
struct float4 {
  alignas(16) float x;
  float y;
  float z;
  float w;
};
struct double2 {
  alignas(16) double x;
  double y;
};
struct ushort2 {
  alignas(4) unsigned short x;
  unsigned short y;
};
struct ushort4 {
  alignas(8) unsigned short x;
  unsigned short y;
  unsigned short z;
  unsigned short w;
};
struct uchar4 {
  alignas(4) unsigned char x;
  unsigned char y;
  unsigned char z;
  unsigned char w;
};

struct dim3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;

  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 extent) : x(extent.x), y(extent.y), z(extent.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
// NOLINTEND(readability-identifier-naming)

constexpr int2 make_int2(int x, int y) {
  return {x, y};
}
constexpr int3 make_int3(int x, int y, int z) {
  return {x, y, z};
}
constexpr int4 make_int4(int x, int y, int z, int w) {
  return {x, y, z, w};
}
constexpr uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
constexpr uint3 make_uint3(unsigned x, unsigned y, unsigned z) {
  return {x, y, z};
}
constexpr uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}
constexpr float2 make_float2(float x, float y) {
  return {x, y};
}
constexpr float3 make_float3(float x, float y, float z) {
  return {x, y, z};
}
constexpr float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
constexpr double2 make_double2(double x, double y) {
  return {x, y};
}
constexpr ushort2 make_ushort2(unsigned short x, unsigned short y) {
  return {x, y};
}
constexpr ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) {
  return {x, y, z, w};
}
constexpr uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w) {
  return {x, y, z, w};
}
