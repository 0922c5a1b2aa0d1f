#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dnas::test {

/// The message of the Exception that `body` throws; fails the test if it throws none or another kind.
template <typename Exception, typename Body>
std::string message_of(Body body) {
  try {
    body();
  } catch (const Exception& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception: " << error.what();
    return {};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace dnas::test
