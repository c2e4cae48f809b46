#include "protocol/control.h"

#include <gtest/gtest.h>

#include <string>

#include "protocol/publish.h"

namespace sluice {
namespace {

ControlVerdict Parse(std::string_view body) {
  v1::ClientFrame frame;
  return ParseControl(body, &frame);
}

std::string Ping() {
  v1::ClientFrame frame;
  frame.mutable_ping()->set_id(7);
  return frame.SerializeAsString();
}

TEST(ParseControl, ReadsWhatGeneratedCodeWrites) {
  v1::ClientFrame frame;
  ASSERT_EQ(ParseControl(Ping(), &frame), ControlVerdict::kOk);
  ASSERT_TRUE(frame.has_ping());
  EXPECT_EQ(frame.ping().id(), 7u);
}

TEST(ParseControl, ToleratesFieldsOfALaterVersion) {
  const std::string unknown = "\xba\x06\x01x";  // 103, bytes
  EXPECT_EQ(Parse(Ping() + unknown), ControlVerdict::kOk);
  EXPECT_EQ(Parse(unknown + Ping()), ControlVerdict::kOk);
}

TEST(ParseControl, RefusesAFrameThatItDoesNotKnow) {
  EXPECT_EQ(Parse(""), ControlVerdict::kBadFrame);
  EXPECT_EQ(Parse("\xba\x06\x01x"), ControlVerdict::kBadFrame);
  v1::ServerFrame goodbye;
  goodbye.mutable_goodbye()->set_reason(v1::REASON_KICKED);
  EXPECT_EQ(Parse(goodbye.SerializeAsString()), ControlVerdict::kBadFrame);
}

TEST(ParseControl, RefusesAMessageThatHidesBehindAnotherField) {
  v1::ClientFrame frame;
  frame.mutable_message()->set_topic("t");
  const std::string message = frame.SerializeAsString();
  ASSERT_FALSE(IsPublish(Ping() + message));
  EXPECT_EQ(Parse(Ping() + message), ControlVerdict::kBadFrame);
  EXPECT_EQ(Parse("\xba\x06\x01x" + message), ControlVerdict::kBadFrame);
}

TEST(ParseControl, RefusesEveryTruncation) {
  v1::ClientFrame frame;
  frame.mutable_connect()->set_protocol_version(1);
  frame.mutable_connect()->set_client_name("somebody");
  frame.mutable_connect()->set_previous_session(std::string(16, '\0'));
  const std::string body = frame.SerializeAsString();
  ASSERT_EQ(Parse(body), ControlVerdict::kOk);
  for (size_t size = 0; size < body.size(); ++size) {
    EXPECT_EQ(Parse(body.substr(0, size)), ControlVerdict::kBadFrame) << size;
  }
}

TEST(ParseControl, RefusesTextThatIsNotUtf8) {
  EXPECT_EQ(Parse("\x12\x03\x12\x01n"), ControlVerdict::kOk);
  EXPECT_EQ(Parse("\x12\x03\x12\x01\xff"), ControlVerdict::kBadFrame);
}

TEST(ParseControl, HoldsItsLimitToTheByte) {
  v1::ClientFrame frame;
  std::string* name = frame.mutable_connect()->mutable_client_name();
  name->resize(kControlBodyBytesMax - 6, 'n');  // two tags, two lengths of two bytes
  ASSERT_EQ(frame.SerializeAsString().size(), kControlBodyBytesMax);
  EXPECT_EQ(Parse(frame.SerializeAsString()), ControlVerdict::kOk);
  *name += 'n';
  EXPECT_EQ(Parse(frame.SerializeAsString()), ControlVerdict::kTooLarge);
}

}  // namespace
}  // namespace sluice
