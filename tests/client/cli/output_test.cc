#include "client/cli/output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include "client/cli/descriptor.h"
#include "client/cli/event.h"
#include "client/cli/output_queue.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

namespace sluice::cli {
namespace {

using ::sluice::testing::Eventually;
using ::testing::HasSubstr;
using Result = Output::Result;

struct PipeEnds {
  PipeEnds() {
    std::array<int, 2> fds;
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    read = Descriptor(fds[0]);
    write = Descriptor(fds[1]);
    // As main() has it.
    ::signal(SIGPIPE, SIG_IGN);
  }
  Descriptor read;
  Descriptor write;
};

std::string ReadAll(int fd) {
  std::string all;
  std::array<char, 4096> buffer;
  for (ssize_t got; (got = ::read(fd, buffer.data(), buffer.size())) > 0;)
    all.append(buffer.data(), static_cast<size_t>(got));
  return all;
}

TEST(OutputTest, WritesMoreThanAPipeHoldsAtOnce) {
  PipeEnds pipe;
  std::string all;
  std::thread reader([&] { all = ReadAll(pipe.read.get()); });
  const std::string text(1'000'000, 'x');
  {
    Output output(pipe.write.get(), -1);
    EXPECT_EQ(output.Write(text), Result::kWritten);
    EXPECT_EQ(output.Write("end"), Result::kWritten);
    pipe.write.Close();
  }
  reader.join();
  EXPECT_EQ(all, text + "end");
}

TEST(OutputTest, AReaderWhoHasGoneIsNoticed) {
  PipeEnds pipe;
  Output output(pipe.write.get(), -1);
  EXPECT_EQ(output.CheckReader(), Result::kWritten);
  pipe.read.Close();
  EXPECT_FALSE(WaitFor({output.hangup_fd()}, absl::InfinitePast()).none());
  EXPECT_EQ(output.CheckReader(), Result::kReaderGone);
  EXPECT_EQ(output.Write("x"), Result::kReaderGone);
}

TEST(OutputTest, AWriteToAReaderWhoHasGoneIsNotDeadly) {
  PipeEnds pipe;
  pipe.read.Close();
  Output output(pipe.write.get(), -1);
  EXPECT_EQ(output.Write("x"), Result::kReaderGone);
  EXPECT_EQ(output.Write("y"), Result::kReaderGone);
}

TEST(OutputTest, ASignalEndsTheWaitForAReaderWhoDoesNotRead) {
  PipeEnds pipe;
  Event interrupt;
  Output output(pipe.write.get(), interrupt.fd());
  std::thread signalling([&] { interrupt.Set(); });
  EXPECT_EQ(output.Write(std::string(1'000'000, 'x')), Result::kInterrupted);
  signalling.join();
}

TEST(OutputTest, AfterASignalWhatCanBeWrittenStillIs) {
  PipeEnds pipe;
  Event interrupt;
  interrupt.Set();
  Output output(pipe.write.get(), interrupt.fd());
  EXPECT_EQ(output.Write("summary"), Result::kWritten);
  pipe.write.Close();
  EXPECT_EQ(ReadAll(pipe.read.get()), "summary");
}

TEST(OutputTest, SaysWhyAFileCannotBeWritten) {
  Descriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  Output output(full.get(), -1);
  EXPECT_EQ(output.Write("x"), Result::kFailed);
  EXPECT_THAT(output.error(), HasSubstr("No space left"));
}

TEST(OutputTest, WritesAFileWhole) {
  const testing::TempDir dir;
  const std::string path = dir.Write("out", "");
  const std::string text(3'000'000, 'x');
  {
    Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    Output output(file.get(), -1);
    EXPECT_EQ(output.hangup_fd(), -1);
    EXPECT_EQ(output.Write(text), Result::kWritten);
  }
  EXPECT_EQ(testing::ReadFile(path), text);
}

bool IsReadable(int fd) { return !WaitFor({fd}, absl::InfinitePast()).none(); }

OutputQueue::Pushed Push(OutputQueue* queue, std::string_view text) {
  return queue->Push([&](std::string* out) { out->append(text); });
}

TEST(OutputQueueTest, HandsOverEverythingInOrder) {
  OutputQueue queue(1000);
  Push(&queue, "a");
  Push(&queue, "b");
  std::string batch = "old";
  queue.Take(&batch);
  EXPECT_EQ(batch, "ab");
  queue.Take(&batch);
  EXPECT_EQ(batch, "");
}

TEST(OutputQueueTest, WakesOnlyWhenSoMuchHasGathered) {
  OutputQueue queue(1000);
  std::string batch;
  Push(&queue, "before anybody asked");
  EXPECT_FALSE(IsReadable(queue.fd()));
  queue.WakeAt(1);
  EXPECT_TRUE(IsReadable(queue.fd()));
  queue.Take(&batch);
  queue.WakeAt(4);
  EXPECT_FALSE(IsReadable(queue.fd()));
  Push(&queue, "abc");
  EXPECT_FALSE(IsReadable(queue.fd()));
  Push(&queue, "d");
  EXPECT_TRUE(IsReadable(queue.fd()));
}

TEST(OutputQueueTest, AFullQueueWakesWhateverWasAskedFor) {
  OutputQueue queue(3);
  queue.WakeAt(1000);
  Push(&queue, "abc");
  EXPECT_TRUE(IsReadable(queue.fd()));
}

TEST(OutputQueueTest, WhoPushesIntoAFullQueueWaits) {
  OutputQueue queue(3);
  Push(&queue, "abcdef");
  std::atomic<bool> pushed = false;
  std::thread pusher([&] {
    EXPECT_EQ(Push(&queue, "g"), OutputQueue::Pushed::kYes);
    pushed = true;
  });
  EXPECT_FALSE(pushed);
  std::string all, batch;
  EXPECT_TRUE(Eventually([&] {
    queue.Take(&batch);
    all += batch;
    return all == "abcdefg";
  }));
  pusher.join();
}

TEST(OutputQueueTest, CloseLetsGoWhoWaits) {
  OutputQueue queue(1);
  Push(&queue, "a");
  std::thread pusher([&] { EXPECT_EQ(Push(&queue, "b"), OutputQueue::Pushed::kClosed); });
  queue.Close();
  pusher.join();
  EXPECT_EQ(Push(&queue, "c"), OutputQueue::Pushed::kClosed);
  std::string batch;
  queue.Take(&batch);
  EXPECT_EQ(batch, "a");
}

TEST(OutputQueueTest, NothingIsLostBetweenTwoThreads) {
  OutputQueue queue(100);
  constexpr int kNumbers = 50'000;
  std::thread pusher([&] {
    for (int i = 0; i < kNumbers; ++i) Push(&queue, std::to_string(i) + "\n");
  });
  std::string expected, all, batch;
  for (int i = 0; i < kNumbers; ++i) expected += std::to_string(i) + "\n";
  while (all.size() < expected.size()) {
    queue.WakeAt(50);
    // The last ones may be fewer than it wakes for.
    WaitFor({queue.fd()}, absl::UnixEpoch());
    queue.Take(&batch);
    all += batch;
  }
  pusher.join();
  EXPECT_EQ(all, expected);
}

}  // namespace
}  // namespace sluice::cli
