#include "tests/support/broker_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "absl/time/time.h"
#include "broker/net/error_text.h"
#include "fmt/format.h"
#include "tests/support/process_use.h"
#include "tests/support/socket_pair.h"

namespace sluice::testing {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);
// Between two looks at what only asking again can tell.
constexpr std::chrono::milliseconds kAskAgainAfter(5);

void Require(bool done, const std::string& what) {
  if (!done) throw std::runtime_error(what + ": " + net::ErrorText(errno));
}

// Asks again and again, with pauses so that the process asked gets the processor.
bool AskUntil(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + absl::ToChronoSeconds(kPatience);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(kAskAgainAfter);
  }
  return true;
}

uint16_t PortOf(std::string_view address) {
  uint16_t port = 0;
  const std::string_view digits = address.substr(address.rfind(':') + 1);
  std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return port;
}

}  // namespace

BrokerProcess::BrokerProcess(const std::vector<std::string>& flags, std::string_view listen) {
  std::string pattern = ::testing::TempDir() + "sluice-XXXXXX";
  Require(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
  directory_ = pattern;
  ports_file_ = directory_ + "/ports";
  Start(flags, listen);
  log_thread_ = std::thread([this] { CollectLog(); });
  try {
    WaitForLog("serving");
    ReadPorts();
  } catch (...) {
    End();
    throw;
  }
}

void BrokerProcess::Start(const std::vector<std::string>& flags, std::string_view listen) {
  std::vector<std::string> words = {SLUICED_PATH, fmt::format("--listen={}", listen), "--http=127.0.0.1:0",
                                    "--ports-file=" + ports_file_};
  if (const char* shards = std::getenv("SLUICE_TEST_SHARDS")) shards_ = std::atoi(shards);
  words.push_back(fmt::format("--shards={}", shards_));
  // A busy machine can keep a test from what it has to do in these times.
  for (const std::string_view timeout : {"--connect-timeout=", "--write-timeout=", "--block-timeout="}) {
    const auto names = [timeout](const std::string& flag) { return flag.starts_with(timeout); };
    if (std::ranges::none_of(flags, names)) words.push_back(fmt::format("{}10m", timeout));
  }
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  int ends[2];
  Require(::pipe2(ends, O_CLOEXEC) == 0, "pipe2");
  log_pipe_ = net::FileDescriptor(ends[0]);
  Require(::fcntl(log_pipe_.get(), F_SETFL, O_NONBLOCK) == 0, "fcntl");
  const net::FileDescriptor write_end(ends[1]);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  Require(pid_ >= 0, "fork");
  if (pid_ == 0) {
    // Only calls that are safe between fork and exec. A test that is killed takes its broker along.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    ::dup2(write_end.get(), STDOUT_FILENO);
    ::dup2(write_end.get(), STDERR_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  running_ = true;
}

BrokerProcess::~BrokerProcess() {
  if (running_ && Reap(WNOHANG) && !ended_on_purpose_) {
    ADD_FAILURE() << "the broker ended by itself: exit code " << exit_.code << ", signal " << exit_.signal;
  }
  End();
}

void BrokerProcess::End() {
  if (running_) {
    ::kill(pid_, SIGKILL);
    Reap(0);
  }
  log_thread_.join();
  if (::testing::Test::HasFailure() || std::uncaught_exceptions() > 0 ||
      std::current_exception() != nullptr) {
    fmt::print(stderr, "---- the broker's log ----\n{}--------------------------\n", Log());
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void BrokerProcess::CollectLog() {
  for (;;) {
    pollfd ready = {.fd = log_pipe_.get(), .events = POLLIN, .revents = 0};
    (void)::poll(&ready, 1, -1);
    const std::lock_guard<std::mutex> lock(log_mutex_);
    TakeLog();
    log_changed_.notify_all();
    if (log_ended_) return;
  }
}

// What the broker has written by now.
void BrokerProcess::TakeLog() const {
  char room[4096];
  for (ssize_t bytes; !log_ended_;) {
    bytes = ::read(log_pipe_.get(), room, sizeof room);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0 && errno == EAGAIN) return;
    if (bytes <= 0) {
      if (!unfinished_line_.empty()) log_lines_.push_back(unfinished_line_);
      log_ended_ = true;
      return;
    }
    unfinished_line_.append(room, static_cast<size_t>(bytes));
    for (size_t end; (end = unfinished_line_.find('\n')) != std::string::npos;) {
      log_lines_.push_back(unfinished_line_.substr(0, end));
      unfinished_line_.erase(0, end + 1);
    }
  }
}

void BrokerProcess::ReadPorts() {
  std::ifstream file(ports_file_);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("listen=")) port_ = PortOf(line);
    if (line.starts_with("http=")) http_port_ = PortOf(line);
  }
  if (port_ == 0 || http_port_ == 0) throw std::runtime_error("no ports in " + ports_file_);
}

std::string BrokerProcess::WaitForLog(std::string_view text) {
  std::string found;
  size_t seen = 0;
  std::unique_lock<std::mutex> lock(log_mutex_);
  log_changed_.wait_for(lock, absl::ToChronoSeconds(kPatience), [&] {
    for (; seen < log_lines_.size() && found.empty(); ++seen) {
      if (log_lines_[seen].find(text) != std::string::npos) found = log_lines_[seen];
    }
    return !found.empty() || log_ended_;
  });
  if (found.empty()) throw std::runtime_error(fmt::format("the broker's log never said \"{}\"", text));
  return found;
}

std::vector<std::string> BrokerProcess::LogLines(std::string_view text) const {
  std::vector<std::string> lines;
  const std::lock_guard<std::mutex> lock(log_mutex_);
  TakeLog();
  std::copy_if(log_lines_.begin(), log_lines_.end(), std::back_inserter(lines),
               [&](const std::string& line) { return line.find(text) != std::string::npos; });
  return lines;
}

std::string BrokerProcess::Log() const {
  std::string log;
  for (const std::string& line : LogLines("")) log += line + "\n";
  return log;
}

void BrokerProcess::Signal(int signal) const { Require(::kill(pid_, signal) == 0, "kill"); }

void BrokerProcess::Stop() const {
  Signal(SIGSTOP);
  siginfo_t stopped = {};
  Require(::waitid(P_PID, static_cast<id_t>(pid_), &stopped, WSTOPPED) == 0, "waitid");
}

void BrokerProcess::Continue() const { Signal(SIGCONT); }

ProcessExit BrokerProcess::WaitForExit() {
  ended_on_purpose_ = true;
  if (running_ && !AskUntil([this] { return Reap(WNOHANG); })) {
    throw std::runtime_error("the broker does not end");
  }
  return exit_;
}

bool BrokerProcess::Reap(int options) {
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(pid_, &status, options);
  } while (reaped < 0 && errno == EINTR);
  if (reaped != pid_) return false;
  running_ = false;
  exit_.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  exit_.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return true;
}

uint64_t BrokerProcess::ResidentBytes() const { return ProcessUse(pid_).memory().rss_bytes; }

uint64_t BrokerProcess::OpenDescriptors() const { return ProcessUse(pid_).descriptors(); }

double BrokerProcess::CpuSeconds() const { return static_cast<double>(ProcessUse(pid_).cpu_ns()) / 1e9; }

void BrokerProcess::LimitDescriptors(uint64_t descriptors_max) const {
  rlimit limit = {};
  Require(::prlimit(pid_, RLIMIT_NOFILE, nullptr, &limit) == 0, "prlimit");
  limit.rlim_cur = descriptors_max;
  Require(::prlimit(pid_, RLIMIT_NOFILE, &limit, nullptr) == 0, "prlimit");
}

std::string BrokerProcess::Get(std::string_view path) const {
  net::Socket socket = ConnectTo(http_port_);
  WriteBytes(socket, fmt::format("GET {} HTTP/1.0\r\nHost: localhost\r\n\r\n", path));
  return ReadUntilEof(socket);
}

double BrokerProcess::Metric(std::string_view series) const {
  std::istringstream page(Get("/metrics"));
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with(series) && line.size() > series.size() && line[series.size()] == ' ') {
      return std::stod(line.substr(series.size() + 1));
    }
  }
  throw std::runtime_error(fmt::format("no series {} among the metrics", series));
}

void BrokerProcess::WaitForMetric(std::string_view series, const ::testing::Matcher<double>& value) const {
  double last = 0;
  if (AskUntil([&] { return value.Matches(last = Metric(series)); })) return;
  throw std::runtime_error(fmt::format("{} stays {}; it should be a value that {}", series, last,
                                       ::testing::DescribeMatcher<double>(value)));
}

}  // namespace sluice::testing
