#include "broker/net/error_text.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace sluice::net {
namespace {

TEST(ErrorTextTest, StandsInTheMiddleOfASentence) {
  EXPECT_EQ(ErrorText(ECONNRESET), "connection reset by peer");
  EXPECT_EQ(ErrorText(EADDRINUSE), "address already in use");
  EXPECT_EQ(ErrorText(EIO), "input/output error");
}

TEST(ErrorTextTest, KeepsTheCapitalsOfAnAbbreviation) { EXPECT_EQ(ErrorText(EDOTDOT), "RFS specific error"); }

TEST(ErrorTextTest, HasAWordForANumberThatDoesNotExist) {
  EXPECT_EQ(ErrorText(99'999), "unknown error 99999");
  EXPECT_EQ(ErrorText(0), "success");
}

TEST(ErrorStatusTest, SaysWhatFailedAndWhy) {
  EXPECT_EQ(ErrorStatus(ECONNREFUSED, "cannot connect to 127.0.0.1:1").message(),
            "cannot connect to 127.0.0.1:1: connection refused");
}

TEST(ErrorStatusTest, HasACodeThatCallersCanActOn) {
  using Code = absl::StatusCode;
  const struct {
    int error;
    Code code;
  } cases[] = {
      {EADDRINUSE, Code::kAlreadyExists},
      {EEXIST, Code::kAlreadyExists},
      {EADDRNOTAVAIL, Code::kNotFound},
      {EAFNOSUPPORT, Code::kNotFound},
      {ENOENT, Code::kNotFound},
      {EACCES, Code::kPermissionDenied},
      {EPERM, Code::kPermissionDenied},
      {EMFILE, Code::kResourceExhausted},
      {ENFILE, Code::kResourceExhausted},
      {ENOBUFS, Code::kResourceExhausted},
      {ENOMEM, Code::kResourceExhausted},
      {ENOSPC, Code::kResourceExhausted},
      {ETIMEDOUT, Code::kDeadlineExceeded},
      {EINVAL, Code::kInvalidArgument},
      {ECONNREFUSED, Code::kUnavailable},
  };
  for (const auto& [error, code] : cases) EXPECT_EQ(ErrorStatus(error, "x").code(), code) << ErrorText(error);
}

}  // namespace
}  // namespace sluice::net
