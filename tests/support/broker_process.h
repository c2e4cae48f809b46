// The real sluiced as a child process: started on free ports, watched through its log, its metrics and /proc,
// ended and reaped with the object.
//
//   BrokerProcess broker({"--write-timeout=500ms"});
//   WireClient client(broker.port());
//   ...
//   EXPECT_THAT(broker.WaitForLog("slow consumer disconnected"), HasSubstr("reason=write_timeout"));
//   broker.Signal(SIGTERM);
//   EXPECT_EQ(broker.WaitForExit().code, 0);
//
// Whatever does not happen within two minutes throws std::runtime_error: a test can only end. The log is printed
// when the test failed; a broker that died by itself fails the test.
//
// Thread safety: one thread; the log is collected on one of its own.
#ifndef SLUICE_TESTS_SUPPORT_BROKER_PROCESS_H_
#define SLUICE_TESTS_SUPPORT_BROKER_PROCESS_H_

#include <gmock/gmock.h>
#include <sys/types.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "broker/net/file_descriptor.h"

namespace sluice::testing {

// How a process ended: its exit code, or the signal that killed it (then the code is -1).
struct ProcessExit {
  int code = -1;
  int signal = 0;
};

class BrokerProcess {
 public:
  // Returns when it serves. Ports are chosen by the kernel, unless `listen` names one; `flags` come behind
  // those for that. The environment variable SLUICE_TEST_SHARDS, when set, is the number of shards.
  explicit BrokerProcess(const std::vector<std::string>& flags = {}, std::string_view listen = "127.0.0.1:0");
  ~BrokerProcess();
  BrokerProcess(const BrokerProcess&) = delete;
  BrokerProcess& operator=(const BrokerProcess&) = delete;

  uint16_t port() const { return port_; }
  uint16_t http_port() const { return http_port_; }
  pid_t pid() const { return pid_; }
  int shards() const { return shards_; }
  // Where it wrote its ports; it removes the file when it ends in order.
  const std::string& ports_file() const { return ports_file_; }

  // The first line of the log that holds `text`; waits for it.
  std::string WaitForLog(std::string_view text);
  // All lines so far that hold it.
  std::vector<std::string> LogLines(std::string_view text) const;

  void Signal(int signal) const;
  // SIGSTOP, and waits until it stands.
  void Stop() const;
  void Continue() const;
  ProcessExit WaitForExit();

  // What the kernel says about it.
  uint64_t ResidentBytes() const;
  uint64_t OpenDescriptors() const;
  double CpuSeconds() const;
  // How many descriptors it may have from now on; those that are open stay so.
  void LimitDescriptors(uint64_t descriptors_max) const;

  // GET `path` from its HTTP port: head and body.
  std::string Get(std::string_view path) const;
  // The value of a series as it stands on the page of metrics ("sluice_connections_open",
  // "sluice_sessions_ended_total{reason=\"shutdown\"}").
  double Metric(std::string_view series) const;
  // Waits until the series has the value, or matches: WaitForMetric("sluice_pending_bytes", Le(1e6)).
  void WaitForMetric(std::string_view series, const ::testing::Matcher<double>& value) const;

 private:
  void Start(const std::vector<std::string>& flags, std::string_view listen);
  void End();
  void CollectLog();
  void TakeLog() const;
  void ReadPorts();
  std::string Log() const;
  bool Reap(int options);

  std::string directory_;
  std::string ports_file_;
  pid_t pid_ = -1;
  bool running_ = false;
  bool ended_on_purpose_ = false;
  ProcessExit exit_;
  uint16_t port_ = 0;
  uint16_t http_port_ = 0;
  int shards_ = 1;

  net::FileDescriptor log_pipe_;
  std::thread log_thread_;
  // Of the standard library, which ThreadSanitizer sees.
  mutable std::mutex log_mutex_;
  std::condition_variable log_changed_;
  // Guarded by log_mutex_. Whoever looks first takes what stands in the pipe, so that what the broker wrote
  // before something that a test has seen is there.
  mutable std::vector<std::string> log_lines_;
  mutable std::string unfinished_line_;
  mutable bool log_ended_ = false;
};

// Whether this build is instrumented, which makes figures of memory and time meaningless.
inline constexpr bool kSanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    true;
#else
    false;
#endif
#else
    false;
#endif

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_BROKER_PROCESS_H_
