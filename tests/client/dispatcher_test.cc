#include "client/dispatcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "client/answer.h"

namespace sluice::client {
namespace {

// Says that it has more until it has run so often.
class Worker : public Runnable {
 public:
  Worker(char name, int batches, std::string* log) : name_(name), batches_(batches), log_(log) {}
  More RunBatch() override {
    *log_ += name_;
    return --batches_ > 0 ? More::kYes : More::kNo;
  }

 private:
  const char name_;
  int batches_;
  std::string* const log_;
};

TEST(DispatcherTest, RunsWhatWasPostedInOrderAndEndsBehindIt) {
  Dispatcher dispatcher;
  dispatcher.Start();
  std::string log;
  for (char c = 'a'; c <= 'e'; ++c) {
    dispatcher.Post([&log, c] { log += c; });
  }
  dispatcher.Stop();
  EXPECT_EQ(log, "abcde");
  dispatcher.Post([&log] { log += 'x'; });
  EXPECT_EQ(log, "abcde");
}

TEST(DispatcherTest, ThoseThatHaveMoreTakeTurns) {
  Dispatcher dispatcher;
  std::string log;
  dispatcher.Add(std::make_shared<Worker>('a', 3, &log));
  dispatcher.Add(std::make_shared<Worker>('b', 2, &log));
  Answer<int> done;
  std::function<void(int)> last = [&](int rounds) {
    if (rounds == 0) return done.Set(0);
    dispatcher.Post([&last, rounds] { last(rounds - 1); });
  };
  last(4);
  dispatcher.Start();
  EXPECT_TRUE(done.Wait(DeadlineIn(absl::Seconds(60))));
  dispatcher.Stop();
  EXPECT_EQ(log, "ababa");
}

TEST(DispatcherTest, KnowsItsOwnThread) {
  Dispatcher dispatcher;
  dispatcher.Start();
  std::atomic<bool> there{false};
  dispatcher.Post([&] { there = dispatcher.OnThread(); });
  dispatcher.Stop();
  EXPECT_TRUE(there);
  EXPECT_FALSE(dispatcher.OnThread());
}

}  // namespace
}  // namespace sluice::client
