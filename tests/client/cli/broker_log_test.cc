#include "client/cli/broker_log.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

TEST(BrokerLogTest, TakesALineApart) {
  const LogLine line = ParseLogLine(
      "2026-11-24T09:46:08.444Z debug write blocked: EPOLLOUT armed client=slow-reader "
      "pending_bytes=10174499 "
      "progress=4% reason=pending_age");
  EXPECT_EQ(line.level, "debug");
  EXPECT_EQ(line.message, "write blocked: EPOLLOUT armed");
  EXPECT_EQ(line.Field("client"), "slow-reader");
  EXPECT_EQ(line.Field("reason"), "pending_age");
  EXPECT_EQ(line.Number("pending_bytes"), 10174499u);
  EXPECT_EQ(line.Number("progress"), 4u);
  EXPECT_EQ(line.Field("limit"), "");
  EXPECT_EQ(line.Number("limit"), 0u);
}

TEST(BrokerLogTest, QuotedValuesMayHoldSpacesAndEqualSigns) {
  const LogLine line =
      ParseLogLine("2026-11-24T09:46:08.444Z info  closed text=\"a b=c\" empty=\"\" client=x");
  EXPECT_EQ(line.level, "info");
  EXPECT_EQ(line.message, "closed");
  EXPECT_EQ(line.Field("text"), "a b=c");
  EXPECT_EQ(line.Field("empty"), "");
  EXPECT_EQ(line.Field("client"), "x");
}

TEST(BrokerLogTest, MessagesNeedNoFields) {
  const LogLine line = ParseLogLine("2026-11-24T09:46:09.128Z info  stopped");
  EXPECT_EQ(line.message, "stopped");
  EXPECT_TRUE(line.fields.empty());
}

TEST(BrokerLogTest, AnythingElseIsAMessage) {
  for (const char* text :
       {"", " ", "==123==ERROR: AddressSanitizer: heap-use-after-free", "Z", "2026Z info", "Z x a="}) {
    EXPECT_EQ(ParseLogLine(text).text, text);
  }
  EXPECT_EQ(ParseLogLine("==1==ERROR: a=b").message, "==1==ERROR: a=b");
  EXPECT_TRUE(ParseLogLine("==1==ERROR: a=b").fields.empty());
}

TEST(BrokerLogTest, AnUnfinishedQuoteDoesNotLeadAstray) {
  EXPECT_EQ(ParseLogLine("1Z info m a=\"b c").Field("a"), "b c");
  EXPECT_EQ(ParseLogLine("1Z info m a=\"").Field("a"), "");
}

}  // namespace
}  // namespace sluice::cli
