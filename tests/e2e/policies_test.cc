// A subscriber that falls behind, under each overflow policy: it is not cut, is told exactly what it missed,
// and its neighbours and the publisher notice nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/broker_process.h"
#include "tests/support/healthy_load.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::Gt;
using ::testing::SizeIs;

constexpr SocketPairOptions kTinyWindow = {.client_receive_buffer_bytes = 4 << 10};

// What a client knows of one subscription.
struct Book {
  uint64_t received = 0;
  uint64_t told = 0;
  std::optional<uint64_t> offered;
  std::map<std::string, std::string> last;  // payload by topic
};

class PoliciesTest : public ::testing::Test {
 protected:
  PoliciesTest()
      : broker_(
            {"--max-message=16KiB", "--max-headers=1KiB", "--notsent-lowat=16KiB", "--write-timeout=60s"}),
        load_(broker_.port(),
              {.subscribers = 3, .topics = {"load.a", "load.b", "load.c"}, .filter = "load.>"}),
        slow_(broker_.port(), kTinyWindow) {
    slow_.Connect("slow");
  }

  // Unsubscribes, and reads to the end of each subscription. At every Gap the numbers must fit.
  std::map<uint32_t, Book> ReadToTheEnd(std::initializer_list<uint32_t> subscriptions) {
    for (const uint32_t id : subscriptions) slow_.SendUnsubscribe(id);
    std::map<uint32_t, Book> books;
    size_t open = subscriptions.size();
    uint32_t current = 0;
    while (open > 0) {
      const std::optional<v1::ServerFrame> frame = slow_.NextFrame();
      if (!frame.has_value()) throw std::runtime_error("it was disconnected");
      if (frame->has_delivery()) current = frame->delivery().subscription();
      if (frame->has_message()) {
        Book& book = books[current];
        ++book.received;
        book.last[frame->message().topic()] = frame->message().payload();
      }
      if (frame->has_gap()) {
        Book& book = books[frame->gap().subscription()];
        book.told += frame->gap().messages();
        EXPECT_EQ(frame->gap().offered(), book.received + book.told);
      }
      if (frame->has_unsubscribed()) {
        books[frame->unsubscribed().subscription()].offered = frame->unsubscribed().offered();
        --open;
      }
    }
    return books;
  }
  void LoadUntil(std::string_view series) {
    while (broker_.Metric(series) == 0) load_.Step(50, 1000);
    for (int i = 0; i < 20; ++i) load_.Step(50, 1000);
  }
  void ExpectNobodyNoticed() {
    EXPECT_THAT(broker_.LogLines("slow consumer disconnected"), SizeIs(0));
    load_.Step(100, 1000);
    load_.Leave();
    broker_.WaitForMetric("sluice_pending_bytes", 0);
    broker_.WaitForMetric("sluice_pending_messages", 0);
  }

  BrokerProcess broker_;
  HealthyLoad load_;
  WireClient slow_;
};

TEST_F(PoliciesTest, DropOldestKeepsTheLatest) {
  slow_.Subscribe(1, "load.>", {.pending_messages_max = 200, .overflow = v1::OVERFLOW_POLICY_DROP_OLDEST});
  LoadUntil("sluice_messages_dropped_total");
  std::map<uint32_t, Book> books = ReadToTheEnd({1});
  EXPECT_EQ(books[1].offered, load_.published());
  EXPECT_EQ(books[1].received + books[1].told, load_.published());
  EXPECT_GT(books[1].told, 0u);
  EXPECT_EQ(books[1].last["load.a"], TestPayload(1, (load_.published() - 1) / 3 * 3, 1000));
  EXPECT_EQ(broker_.Metric("sluice_messages_dropped_total"), static_cast<double>(books[1].told));
  ExpectNobodyNoticed();
}

TEST_F(PoliciesTest, DropNewestKeepsTheFirst) {
  slow_.Subscribe(1, "load.>", {.pending_messages_max = 200, .overflow = v1::OVERFLOW_POLICY_DROP_NEWEST});
  LoadUntil("sluice_messages_dropped_total");
  std::map<uint32_t, Book> books = ReadToTheEnd({1});
  EXPECT_EQ(books[1].offered, load_.published());
  EXPECT_EQ(books[1].received + books[1].told, load_.published());
  EXPECT_EQ(broker_.Metric("sluice_messages_dropped_total"), static_cast<double>(books[1].told));
  ExpectNobodyNoticed();
}

TEST_F(PoliciesTest, ConflateBringsTheNewestOfEachTopic) {
  slow_.Subscribe(1, "load.>", {.pending_messages_max = 200, .overflow = v1::OVERFLOW_POLICY_CONFLATE});
  LoadUntil("sluice_messages_conflated_total");
  std::map<uint32_t, Book> books = ReadToTheEnd({1});
  EXPECT_EQ(books[1].offered, load_.published());
  EXPECT_EQ(books[1].received + books[1].told, load_.published());
  for (uint64_t topic = 0; topic < 3; ++topic) {
    const uint64_t newest = (load_.published() - 1 - topic) / 3 * 3 + topic;
    EXPECT_EQ(books[1].last[std::string("load.") + "abc"[topic]], TestPayload(1, newest, 1000));
  }
  EXPECT_EQ(broker_.Metric("sluice_messages_dropped_total"), 0);
  ExpectNobodyNoticed();
}

TEST_F(PoliciesTest, SubscriptionsOfOneSessionKeepPoliciesOfTheirOwn) {
  slow_.Subscribe(1, "load.>", {.pending_messages_max = 100, .overflow = v1::OVERFLOW_POLICY_DROP_OLDEST});
  slow_.Subscribe(2, "load.>", {.pending_messages_max = 100, .overflow = v1::OVERFLOW_POLICY_CONFLATE});
  slow_.Subscribe(3, "load.>", {.pending_messages_max = 100, .overflow = v1::OVERFLOW_POLICY_DROP_NEWEST});
  slow_.Subscribe(4, "quiet", {.overflow = v1::OVERFLOW_POLICY_DISCONNECT});
  LoadUntil("sluice_messages_dropped_total");
  WireClient publisher(broker_.port());
  publisher.Connect("publisher");
  publisher.Publish("quiet", "through");
  publisher.Ping();
  std::map<uint32_t, Book> books = ReadToTheEnd({1, 2, 3, 4});
  for (const uint32_t id : {1, 2, 3}) {
    EXPECT_EQ(books[id].offered, load_.published());
    EXPECT_EQ(books[id].received + books[id].told, load_.published());
    EXPECT_GT(books[id].told, 0u);
  }
  EXPECT_EQ(books[4].last["quiet"], "through");
  EXPECT_EQ(books[4].told, 0u);
  ExpectNobodyNoticed();
}

}  // namespace
}  // namespace sluice::testing
