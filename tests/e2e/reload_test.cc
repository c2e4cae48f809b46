// SIGHUP: a broker that runs reads its configuration again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <string_view>

#include "tests/support/broker_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ReloadTest : public ::testing::Test {
 protected:
  void Write(std::string_view text) { (void)directory_.Write("sluiced.toml", text); }
  // Returns when that has happened; the log's line says how many settings have changed.
  std::string Reload() {
    const size_t before = broker_.LogLines("read again").size();
    broker_.Signal(SIGHUP);
    while (broker_.LogLines("read again").size() == before) broker_.WaitForLog("read again");
    return broker_.LogLines("read again").back();
  }
  uint64_t PendingMessagesMaxOf(WireClient* client, uint32_t id) const {
    return client->Subscribe(id, "a").limits().pending_messages_max();
  }

  TempDir directory_;
  const std::string file_ = directory_.Write("sluiced.toml", "[limits]\npending_messages_max = 100\n");
  BrokerProcess broker_{{"--config=" + file_, "--pending-age-max=7s"}};
};

TEST_F(ReloadTest, NewSubscriptionsGetTheNewLimits) {
  WireClient before(broker_.port());
  before.Connect("before");
  EXPECT_EQ(PendingMessagesMaxOf(&before, 1), 100u);
  Write("[limits]\npending_messages_max = 200\n[timeouts]\nping_interval = \"3s\"\n");
  EXPECT_THAT(Reload(), HasSubstr("settings_changed=2"));
  EXPECT_THAT(broker_.WaitForLog("setting=limits.pending_messages_max"),
              AllOf(HasSubstr("was=100"), HasSubstr("is=200")));
  EXPECT_EQ(PendingMessagesMaxOf(&before, 2), 200u);
  WireClient after(broker_.port());
  EXPECT_EQ(after.Connect("after").limits().default_limits().pending_messages_max(), 200u);
  EXPECT_EQ(broker_.Metric("sluice_pending_messages_limit"), 200);
}

TEST_F(ReloadTest, ALimitThatIsGoneHasItsDefaultAgainAndAFlagStays) {
  Write("[limits]\npending_age_max = \"5s\"\n");
  EXPECT_THAT(Reload(), HasSubstr("settings_changed=1"));
  EXPECT_EQ(broker_.Metric("sluice_pending_messages_limit"), 131072);
  EXPECT_EQ(broker_.Metric("sluice_pending_age_limit_seconds"), 7);
}

TEST_F(ReloadTest, TheLevelOfTheLogChanges) {
  Write("[log]\nlevel = \"debug\"\n[limits]\npending_messages_max = 100\n");
  (void)Reload();
  WireClient client(broker_.port());
  client.Connect("client");
  broker_.WaitForLog("client connected");
}

TEST_F(ReloadTest, WhatNeedsARestartIsSaidAndStays) {
  Write("[limits]\npending_messages_max = 100\nconnections_max = 5\n[tuning]\nchunk_bytes = \"512KiB\"\n");
  EXPECT_THAT(Reload(), HasSubstr("settings_changed=0"));
  EXPECT_THAT(broker_.LogLines("needs a restart"), SizeIs(2));
  EXPECT_THAT(broker_.WaitForLog("setting=limits.connections_max"),
              AllOf(HasSubstr("is=10000"), HasSubstr("would_be=5")));
  EXPECT_EQ(broker_.Metric("sluice_connections_limit"), 10'000);
}

TEST_F(ReloadTest, AFileWithAProblemChangesNothing) {
  Write("[limits]\npending_messages_max = 200\npendng_bytes_max = 1\n");
  EXPECT_THAT(Reload(), AllOf(HasSubstr("not read again"), HasSubstr("pendng_bytes_max"),
                              HasSubstr("did you mean limits.pending_bytes_max?")));
  EXPECT_EQ(broker_.Metric("sluice_pending_messages_limit"), 100);
  EXPECT_THAT(broker_.LogLines("setting changed"), IsEmpty());
}

TEST_F(ReloadTest, RulesChange) {
  Write(
      "[limits]\npending_messages_max = 100\n[[subscription_rules]]\nfilter = \"a\"\n"
      "pending_messages_max = 50\n");
  EXPECT_THAT(Reload(), HasSubstr("settings_changed=1"));
  WireClient client(broker_.port());
  client.Connect("client");
  EXPECT_EQ(PendingMessagesMaxOf(&client, 1), 50u);
}

}  // namespace
}  // namespace sluice::testing
