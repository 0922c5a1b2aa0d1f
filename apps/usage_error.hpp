#pragma once

#include "dnas/kernels/error.hpp"

namespace dnas::apps {

/// The command line itself is wrong: unknown verb or flag, missing argument. One problem per line of the message.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace dnas::apps
