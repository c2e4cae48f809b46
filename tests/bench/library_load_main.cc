// library_load: subscribes with a client library, says "ready", counts until its input ends, and prints what
// each message cost this process.
//
//   library_load sluice|sluice-inline|nats PORT PROGRESS_FILE
//
// The count stands in PROGRESS_FILE, for bench_load's --progress-file.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

#include "tests/bench/adapter.h"
#include "tests/bench/library_subscriber.h"
#include "tests/support/process_use.h"

namespace sluice::bench {
namespace {

std::atomic<uint64_t>* MapProgress(const char* path) {
  const int fd = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, sizeof(uint64_t)) != 0)
    throw std::runtime_error("cannot make the progress file");
  void* const page = ::mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (page == MAP_FAILED) throw std::runtime_error("cannot map the progress file");
  return static_cast<std::atomic<uint64_t>*>(page);
}

std::unique_ptr<LibrarySubscriber> Subscribe(const std::string& library, uint16_t port, Tally* tally) {
  const std::string topic = TopicName(0);
  if (library == "sluice") return SubscribeWithSluice(port, topic, Delivery::kDefault, tally);
  if (library == "sluice-inline") return SubscribeWithSluice(port, topic, Delivery::kInline, tally);
  if (library == "nats") return SubscribeWithNats(port, topic, tally);
  throw std::runtime_error("no such library: " + library);
}

int Main(int argc, char** argv) {
  if (argc != 4) throw std::runtime_error("usage: library_load sluice|sluice-inline|nats PORT PROGRESS_FILE");
  std::atomic<uint64_t>* const progress = MapProgress(argv[3]);
  Tally tally(progress);
  const auto subscriber = Subscribe(argv[1], static_cast<uint16_t>(std::atoi(argv[2])), &tally);
  fmt::print("ready\n");
  std::fflush(stdout);
  const testing::ProcessUse self(::getpid());
  const int64_t cpu_ns_before = self.cpu_ns();
  const auto begin = std::chrono::steady_clock::now();
  while (std::getchar() != EOF) {
  }
  const double cpu = static_cast<double>(self.cpu_ns() - cpu_ns_before) / 1e9;
  const uint64_t messages = progress->load(std::memory_order_acquire);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  fmt::print(
      "{{\"messages\":{},\"unexpected\":{},\"seconds\":{:.6f},\"cpu_seconds\":{:.6f},"
      "\"cpu_ns_per_message\":{:.2f}}}\n",
      messages, tally.unexpected(), seconds.count(), cpu,
      messages > 0 ? cpu * 1e9 / static_cast<double>(messages) : 0);
  return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  try {
    return sluice::bench::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "library_load: {}\n", error.what());
    return 1;
  }
}
