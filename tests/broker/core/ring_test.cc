#include "broker/core/ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>

namespace sluice {
namespace {

// How many objects are alive shows what a ring owns.
class Counted {
 public:
  explicit Counted(int value) : value_(value) { ++alive; }
  Counted() : Counted(0) {}
  Counted(const Counted& other) : Counted(other.value_) {}
  Counted& operator=(const Counted&) = default;
  ~Counted() { --alive; }
  int value() const { return value_; }

  static int alive;

 private:
  int value_;
};
int Counted::alive = 0;

TEST(RingTest, AnEmptyOneOwnsNothing) {
  const Ring<Counted> ring;
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.size(), 0u);
  EXPECT_EQ(Counted::alive, 0);
}

TEST(RingTest, ClearFreesTheMemoryToo) {
  Ring<Counted> ring;
  for (int i = 0; i < 100; ++i) ring.push_back(Counted(i));
  EXPECT_GE(Counted::alive, 100);
  ring.clear();
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(Counted::alive, 0);
  ring.push_back(Counted(7));
  EXPECT_EQ(ring.front().value(), 7);
}

TEST(RingTest, LetsGoOfWhatIsTakenOutAtOnce) {
  Ring<std::shared_ptr<int>> ring;
  const auto item = std::make_shared<int>(1);
  ring.push_back(item);
  ring.push_back(item);
  EXPECT_EQ(item.use_count(), 3);
  ring.pop_front();
  EXPECT_EQ(item.use_count(), 2);
}

TEST(RingTest, GrowsInOrderWhenItIsWrapped) {
  for (size_t shift = 0; shift < 8; ++shift) {
    Ring<size_t> ring;
    for (size_t i = 0; i < 8; ++i) ring.push_back(i);
    for (size_t i = 0; i < shift; ++i) {  // the head moves on, the tail comes round
      ring.pop_front();
      ring.push_back(8 + i);
    }
    for (size_t i = 8 + shift; i < 40; ++i) ring.push_back(i);
    ASSERT_EQ(ring.size(), 40 - shift);
    for (size_t i = 0; i < ring.size(); ++i) EXPECT_EQ(ring[i], shift + i) << "shift " << shift;
  }
}

TEST(RingTest, PutsInFrontEvenWhenItIsEmptyOrFull) {
  Ring<int> ring;
  for (int i = 0; i < 20; ++i) ring.push_front(i);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(ring[i], 19 - static_cast<int>(i));
}

TEST(RingTest, MovesAndLeavesAnEmptyOneThatCanBeUsed) {
  Ring<std::string> first;
  first.push_back("a");
  first.push_back("b");
  Ring<std::string> second(std::move(first));
  EXPECT_EQ(second.size(), 2u);
  EXPECT_EQ(second.front(), "a");
  EXPECT_TRUE(first.empty());
  first.push_back("c");
  EXPECT_EQ(first.front(), "c");
  second = std::move(first);
  EXPECT_EQ(second.size(), 1u);
  EXPECT_EQ(second.front(), "c");
}

TEST(RingTest, AgreesWithADequeUnderRandomUse) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Ring<std::string> ring;
    std::deque<std::string> model;
    for (int step = 0; step < 2000; ++step) {
      const std::string item = std::to_string(step) + std::string(random() % 30, '.');
      switch (random() % 16) {
        case 0:
          ring.clear();
          model.clear();
          break;
        case 1: {
          Ring<std::string> moved = std::move(ring);
          ring = std::move(moved);
          break;
        }
        case 2:
        case 3:
          ring.push_front(item);
          model.push_front(item);
          break;
        case 4:
        case 5:
        case 6:
        case 7:
        case 8:
          if (model.empty()) break;
          ring.pop_front();
          model.pop_front();
          break;
        default:
          ring.push_back(item);
          model.push_back(item);
      }
      ASSERT_EQ(ring.size(), model.size());
      ASSERT_EQ(ring.empty(), model.empty());
      for (size_t i = 0; i < model.size(); ++i) ASSERT_EQ(std::as_const(ring)[i], model[i]);
      if (model.empty()) continue;
      ASSERT_EQ(ring.front(), model.front());
      ASSERT_EQ(ring.back(), model.back());
    }
  }
}

}  // namespace
}  // namespace sluice
