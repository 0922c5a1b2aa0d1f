#pragma once

#include <ostream>
#include <string_view>

namespace dnas::test {

/// Public properties of GPUs, as cuDNN's device descriptors are written: enough for it to plan as on them.
struct DescribedDevice {
  const char* name;
  std::string_view properties;
};

inline std::ostream& operator<<(std::ostream& out, const DescribedDevice& device) {
  return out << device.name;
}

inline constexpr DescribedDevice described_devices[] = {
    {"H100", R"({"deviceName": "NVIDIA H100 80GB HBM3", "cudaDeviceId": 0, "pciDeviceId": 0, "deviceVer": 900,
"driverVer": 13000, "multiProcessorCount": 132, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000,
"l2CacheSize": 52428800, "totalGlobalMem": 85029158912, "warpSize": 32, "maxThreadsPerBlock": 1024,
"maxThreadsPerSM": 2048, "maxCtasPerSM": 32, "regsPerBlock": 65536, "maxRegistersPerSM": 65536,
"maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024,
"maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "isTccDriver": 0,
"supportCoopLaunch": 1})"},
    {"A100", R"({"deviceName": "NVIDIA A100-SXM4-80GB", "cudaDeviceId": 0, "pciDeviceId": 0, "deviceVer": 800,
"driverVer": 13000, "multiProcessorCount": 108, "smClockRateKHz": 1410000, "memClockRateKHz": 1593000,
"l2CacheSize": 41943040, "totalGlobalMem": 85029158912, "warpSize": 32, "maxThreadsPerBlock": 1024,
"maxThreadsPerSM": 2048, "maxCtasPerSM": 32, "regsPerBlock": 65536, "maxRegistersPerSM": 65536,
"maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 166912, "reservedSharedMemoryPerBlock": 1024,
"maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "isTccDriver": 0,
"supportCoopLaunch": 1})"},
};

}  // namespace dnas::test
