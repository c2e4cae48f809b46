#include "broker/core/member_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "broker/core/subscription.h"

namespace sluice {
namespace {

TEST(MemberListTest, KeepsOneAndManyInTheirOrder) {
  std::array<Subscription, 9> subscriptions;
  MemberList members;
  EXPECT_TRUE(members.empty());
  std::vector<Subscription*> expected;
  for (Subscription& subscription : subscriptions) {
    members.push_back(&subscription);
    expected.push_back(&subscription);
    ASSERT_EQ(members.size(), expected.size());
    ASSERT_EQ(members.back(), &subscription);
    ASSERT_TRUE(std::equal(members.begin(), members.end(), expected.begin(), expected.end()));
  }
}

TEST(MemberListTest, GoesBackToOneWhenItWasEmptied) {
  std::array<Subscription, 5> subscriptions;
  MemberList members;
  for (int round = 0; round < 3; ++round) {
    for (Subscription& subscription : subscriptions) members.push_back(&subscription);
    members[0] = members.back();
    EXPECT_EQ(members[0], &subscriptions[4]);
    while (!members.empty()) members.pop_back();
    members.push_back(&subscriptions[1]);
    EXPECT_EQ(members.size(), 1u);
    EXPECT_EQ(members[0], &subscriptions[1]);
    members.pop_back();
    EXPECT_TRUE(members.empty());
  }
}

}  // namespace
}  // namespace sluice
