#pragma once

#include <stdexcept>
#include <string>

namespace dnas {

/// Root of everything the libraries throw. A message names the operation or key, what was expected, what arrived
/// and, where it helps, how to fix it.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A tensor has the wrong rank, extent or memory layout.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A tensor has an element type the operation does not take.
class DtypeError : public Error {
 public:
  using Error::Error;
};

/// A configuration value, option or combination of options is not acceptable.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// A file or data set does not hold what it should: truncated, corrupt, of another size or version.
class DataError : public Error {
 public:
  using Error::Error;
};

/// A file or folder that was named does not exist.
class MissingError : public Error {
 public:
  using Error::Error;
};

/// The operating system refused to read or write: disk full, permission, I/O error.
class IoError : public Error {
 public:
  using Error::Error;
};

/// A device is absent, failed, or cannot run the operation.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// A loss, gradient or parameter became infinite or not a number.
class NumericalError : public Error {
 public:
  using Error::Error;
};

/// The request is meaningful but this build or device cannot serve it.
class UnsupportedError : public Error {
 public:
  using Error::Error;
};

}  // namespace dnas
