#include "client/cli/demo_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

namespace sluice::cli {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

DemoFeed Feed(uint64_t burst_factor = 1) {
  return DemoFeed(
      {.prefix = "ticks.nyse", .symbols = {"IBM", "KO"}, .per_second = 100, .burst_factor = burst_factor}, 0);
}

// What is due from `begin` to `end`, asked every 20 ms as the demo does.
uint64_t DueWithin(DemoFeed* feed, int64_t begin, int64_t end) {
  uint64_t due = 0;
  for (int64_t now = begin; now < end; now += kSecond / 50) due += feed->Due(now);
  return due;
}

TEST(DemoFeedTest, IsNumberedAndParses) {
  DemoFeed feed = Feed();
  std::set<std::string> topics;
  for (uint64_t i = 0; i < 1000; ++i) {
    const FeedMessage message = feed.Next();
    topics.insert(message.topic);
    EXPECT_EQ(SequenceOf(message.payload), i);
    EXPECT_EQ(FeedOf(message.topic), "ticks.nyse");
    const nlohmann::json parsed = nlohmann::json::parse(message.payload);
    EXPECT_EQ(parsed["seq"], i);
    EXPECT_EQ("ticks.nyse." + parsed["symbol"].get<std::string>(), message.topic);
    EXPECT_GE(parsed["price"].get<double>(), 1);
    EXPECT_EQ(feed.newest().at(message.topic), i);
  }
  EXPECT_THAT(topics, ::testing::ElementsAre("ticks.nyse.IBM", "ticks.nyse.KO"));
  EXPECT_EQ(feed.published(), 1000);
}

TEST(DemoFeedTest, IsTheSameEachTime) {
  DemoFeed one = Feed();
  DemoFeed other = Feed();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(one.Next().payload, other.Next().payload);
}

TEST(DemoFeedTest, WalksInSmallSteps) {
  DemoFeed feed({.prefix = "ticks.nyse", .symbols = {"IBM"}}, 0);
  double last = nlohmann::json::parse(feed.Next().payload)["price"];
  std::set<double> seen;
  for (int i = 0; i < 1000; ++i) {
    const double price = nlohmann::json::parse(feed.Next().payload)["price"];
    EXPECT_NEAR(price, last, 0.0501);
    seen.insert(price);
    last = price;
  }
  EXPECT_GT(seen.size(), 10);
}

TEST(DemoFeedTest, KeepsItsRateAndHasBursts) {
  DemoFeed calm = Feed();
  // What is due in the last of the steps comes with the next one.
  EXPECT_NEAR(static_cast<double>(DueWithin(&calm, 0, 24 * kSecond)), 2400, 2);
  DemoFeed bursting = Feed(3);
  EXPECT_NEAR(static_cast<double>(DueWithin(&bursting, 0, 10 * kSecond)), 1000, 6);
  EXPECT_NEAR(static_cast<double>(DueWithin(&bursting, 10 * kSecond, 12 * kSecond)), 600, 6);
  EXPECT_NEAR(static_cast<double>(DueWithin(&bursting, 12 * kSecond, 13 * kSecond)), 100, 6);
}

TEST(DemoFeedTest, MakesUpForAShortPauseOnly) {
  DemoFeed feed = Feed();
  EXPECT_EQ(feed.Due(0), 0);
  EXPECT_EQ(feed.Due(kSecond / 4), 25);
  EXPECT_EQ(feed.Due(60 * kSecond), 50);
  EXPECT_EQ(feed.Due(60 * kSecond), 0);
}

TEST(DemoFeedTest, WhatIsNoneOfItsPayloadsHasNoSequence) {
  for (const char* payload :
       {"", "{\"seq\":", "{\"seq\":12", "{\"seq\":-1,", "{\"seq\":x,", "{\"price\":1,"}) {
    EXPECT_EQ(SequenceOf(payload), std::nullopt) << payload;
  }
}

}  // namespace
}  // namespace sluice::cli
