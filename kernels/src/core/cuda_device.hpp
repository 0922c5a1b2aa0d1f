#pragma once

namespace dnas::kernels::cuda {

/// @throws DeviceError "no CUDA device: ..." if there is none at all, or naming the device if it is not among them
void require_device(int device);

/// Makes a device the current one of the calling thread until the end of the scope.
class CurrentDevice {
 public:
  /// @throws DeviceError as require_device()
  explicit CurrentDevice(int device);
  ~CurrentDevice();

  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  CurrentDevice(CurrentDevice&&) = delete;
  CurrentDevice& operator=(CurrentDevice&&) = delete;

 private:
  int previous_ = 0;
};

}  // namespace dnas::kernels::cuda
