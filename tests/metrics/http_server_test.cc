#include "metrics/http_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "metrics/http_request.h"
#include "tests/support/eventually.h"
#include "tests/support/http_client.h"
#include "tests/support/kernel_faults.h"
#include "tests/support/socket_pair.h"

namespace sluice {
namespace {

using testing::ConnectTo;
using testing::DescriptorLimit;
using testing::Eventually;
using testing::HttpAsk;
using testing::HttpGet;
using testing::HttpReply;
using testing::ParseHttpReply;
using testing::ReadUntilEof;
using ::testing::StartsWith;
using testing::WriteBytes;

using Clock = std::chrono::steady_clock;

// Long enough that nothing is cut in a test that is not about that.
constexpr HttpServerOptions kPatient = {.connections_max = 64,
                                        .request_timeout = absl::Seconds(60),
                                        .response_timeout = absl::Seconds(60),
                                        .linger_timeout = absl::Seconds(60)};

// Serves /fast at once and /slow when it is let; /slow says how often it was built.
class TestPages : public HttpPages {
 public:
  std::optional<HttpResponse> Page(const HttpRequest& request) override {
    const std::string_view path = request.path;
    if (request.method != "GET" && path != "/slow") return MethodNotAllowed("GET, HEAD");
    if (path == "/slow") return std::nullopt;
    if (path == "/fast") return HttpResponse{200, "fast\n"};
    if (path == "/large") return HttpResponse{200, std::string(kLargeBytes, 'x')};
    if (path == "/throws") throw std::runtime_error("out of luck");
    return HttpResponse{404, "not here\n"};
  }

  HttpResponse SlowPage(const HttpTarget& target) override {
    std::unique_lock lock(mutex_);
    const int number = ++begun_;
    targets_.push_back(target);
    changed_.notify_all();
    changed_.wait(lock, [&] { return number <= let_; });
    if (throws_) throw std::runtime_error("out of memory");
    return {200, fmt::format("slow {}\n", number)};
  }

  std::vector<HttpTarget> targets() {
    const std::scoped_lock lock(mutex_);
    return targets_;
  }

  // Lets the first `pages` slow pages be finished.
  void Let(int pages) {
    const std::scoped_lock lock(mutex_);
    let_ = pages;
    changed_.notify_all();
  }
  void ThrowFromSlowPage() {
    const std::scoped_lock lock(mutex_);
    throws_ = true;
  }
  void WaitUntilBegun(int pages) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return begun_ >= pages; }));
  }

  // More than the kernel takes at once for a peer that does not read.
  static constexpr size_t kLargeBytes = size_t{8} << 20;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<HttpTarget> targets_;
  int begun_ = 0;
  int let_ = 0;
  bool throws_ = false;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void Start(const HttpServerOptions& options = kPatient) {
    absl::StatusOr<std::unique_ptr<HttpServer>> server =
        HttpServer::Start({"127.0.0.1", 0}, options, &pages_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void TearDown() override { pages_.Let(1'000'000); }

  // Serves each page once, as long as there are descriptors: UBSan opens a pipe when it meets a class for the
  // first time. The next slow page is the second.
  void StartAndServeOnce() {
    Start();
    pages_.Let(1);
    ASSERT_EQ(HttpGet(port(), "/slow").status, 200);
    ASSERT_EQ(HttpGet(port(), "/fast").status, 200);
  }

  uint16_t port() const { return server_->port(); }

  // A client that has sent `request` and reads nothing yet.
  net::Socket Ask(std::string_view request, uint32_t receive_buffer_bytes = 0) {
    net::Socket socket = ConnectTo(port(), {.client_receive_buffer_bytes = receive_buffer_bytes});
    WriteBytes(socket, request);
    return socket;
  }

  // Sockets to be connected when there are no more descriptors.
  static std::vector<net::FileDescriptor> Unconnected(int sockets) {
    std::vector<net::FileDescriptor> all;
    for (int i = 0; i < sockets; ++i) all.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    return all;
  }
  net::Socket Connect(net::FileDescriptor fd) const {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port());
    ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    net::Socket socket(std::move(fd));
    EXPECT_TRUE(testing::WaitUntilReady(socket, testing::Readiness::kWritable));
    return socket;
  }

  TestPages pages_;
  std::unique_ptr<HttpServer> server_;
};

// Sees whether another thread of this process spins: whether it runs or waits for a processor all the time,
// which holds however busy the machine is. Opens what it needs at construction.
class SpinWatch {
 public:
  SpinWatch() {
    const std::string self = std::to_string(::gettid());
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      if (task.path().filename() == self) continue;
      files_.emplace_back(::open((task.path() / "schedstat").c_str(), O_RDONLY | O_CLOEXEC));
    }
  }

  // Whether more than half of each of many windows of time went by so, from now on. One that has only been woken
  // may wait long for a processor, but not again in the next window.
  bool Spins() const {
    constexpr double kSeconds = 0.4;
    for (int window = 0; window < 50; ++window) {
      const double before = BusySeconds();
      absl::SleepFor(absl::Seconds(kSeconds));
      if (BusySeconds() - before < kSeconds / 2) return false;
    }
    return true;
  }

 private:
  double BusySeconds() const {
    double ns = 0;
    for (const net::FileDescriptor& file : files_) {
      std::array<char, 128> text{};
      EXPECT_GT(::pread(file.get(), text.data(), text.size() - 1, 0), 0);
      char* rest = nullptr;
      ns += std::strtod(text.data(), &rest);  // ran
      ns += std::strtod(rest, nullptr);       // waited
    }
    return ns / 1e9;
  }

  std::vector<net::FileDescriptor> files_;
};

// Reads all that comes and says how it ended; kWouldBlock: with 20 s of silence.
net::IoStatus ReadToTheEnd(net::Socket& socket, std::string* text) {
  std::array<char, 65536> buffer;
  const iovec room = {buffer.data(), buffer.size()};
  for (;;) {
    const net::IoResult read = socket.Read({&room, 1});
    if (read.status == net::IoStatus::kOk) text->append(buffer.data(), read.bytes);
    if (read.status == net::IoStatus::kOk) continue;
    if (read.status != net::IoStatus::kWouldBlock) return read.status;
    if (!testing::WaitUntilReady(socket, testing::Readiness::kReadable)) return read.status;
  }
}

// The server closed it without a word.
void ExpectClosed(net::Socket& socket) {
  std::string text;
  const net::IoStatus end = ReadToTheEnd(socket, &text);
  EXPECT_EQ(text, "");
  EXPECT_TRUE(end == net::IoStatus::kEof || end == net::IoStatus::kReset);
}

constexpr std::string_view kGetFast = "GET /fast HTTP/1.1\r\n\r\n";
constexpr std::string_view kGetSlow = "GET /slow HTTP/1.1\r\n\r\n";
constexpr std::string_view kGetLarge = "GET /large HTTP/1.1\r\n\r\n";

TEST_F(HttpServerTest, AnswersWithTheFieldsThatAClientNeeds) {
  Start();
  const HttpReply reply = HttpGet(port(), "/fast");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.reason, "OK");
  EXPECT_EQ(reply.body, "fast\n");
  EXPECT_EQ(reply.fields, (std::map<std::string, std::string>{{"content-type", "text/plain; charset=utf-8"},
                                                              {"content-length", "5"},
                                                              {"cache-control", "no-store"},
                                                              {"x-content-type-options", "nosniff"},
                                                              {"connection", "close"}}));
}

TEST_F(HttpServerTest, HeadIsTheSameWithoutTheBody) {
  Start();
  HttpReply head = HttpAsk(port(), "HEAD /fast HTTP/1.1\r\n\r\n");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.fields, HttpGet(port(), "/fast").fields);
  pages_.Let(1);
  head = HttpAsk(port(), "HEAD /slow HTTP/1.1\r\n\r\n");
  EXPECT_EQ(head.fields.at("content-length"), "7");
  EXPECT_EQ(HttpAsk(port(), "HEAD /nothing HTTP/1.1\r\n\r\n").status, 404);
}

TEST_F(HttpServerTest, OtherMethodsAreToldWhichAreAllowed) {
  Start();
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}) {
    const HttpReply reply = HttpAsk(port(), fmt::format("{} /fast HTTP/1.1\r\n\r\n", method));
    EXPECT_EQ(reply.status, 405) << method;
    EXPECT_EQ(reply.fields.at("allow"), "GET, HEAD");
  }
  EXPECT_EQ(HttpAsk(port(), "OPTIONS * HTTP/1.1\r\n\r\n").status, 405);
}

TEST_F(HttpServerTest, ABodyThatNobodyReadsDoesNotCostTheAnswer) {
  Start();
  // More than is read with the head. A server that closes now resets the connection, and on a network that
  // can overtake the answer.
  net::Socket socket = Ask("POST /fast HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + std::string(50'000, 'x'));
  std::string reply;
  EXPECT_EQ(ReadToTheEnd(socket, &reply), net::IoStatus::kEof);
  EXPECT_EQ(ParseHttpReply(reply).status, 405);
}

TEST_F(HttpServerTest, AnswersWhatIsWrongWithARequest) {
  Start();
  EXPECT_EQ(HttpAsk(port(), "nonsense\r\n\r\n").status, 400);
  EXPECT_EQ(HttpAsk(port(), "\x16\x03\x01").status, 400);
  EXPECT_EQ(HttpAsk(port(), "GET / HTTP/2.0\r\n\r\n").status, 505);
  EXPECT_EQ(HttpAsk(port(), "GET /" + std::string(kHttpHeadBytesMax, 'x')).status, 431);
  EXPECT_EQ(HttpAsk(port(), "GET / HTTP/1.1\r\nX: " + std::string(kHttpHeadBytesMax, 'x')).status, 431);
  EXPECT_EQ(HttpGet(port(), "/fast/../../etc/passwd").status, 404);
  EXPECT_EQ(HttpGet(port(), "/%66ast").status, 404);
  EXPECT_EQ(HttpGet(port(), "/fast?with=query").status, 200);
}

TEST_F(HttpServerTest, TakesARequestByteByByte) {
  Start();
  net::Socket socket = ConnectTo(port());
  for (const char c : kGetFast) WriteBytes(socket, {&c, 1});
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(socket)).body, "fast\n");
}

TEST_F(HttpServerTest, AClientThatEndsItsDirectionIsStillAnswered) {
  Start();
  for (const std::string_view request : {kGetFast, kGetSlow}) {
    net::Socket socket = Ask(request);
    socket.ShutdownWrite();
    pages_.Let(1);
    EXPECT_EQ(ParseHttpReply(ReadUntilEof(socket)).status, 200);
  }
}

TEST_F(HttpServerTest, ALargeAnswerArrivesWhole) {
  Start();
  net::Socket slow = Ask(kGetLarge, 4096);
  // Others are served meanwhile.
  EXPECT_EQ(HttpGet(port(), "/fast").status, 200);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(slow)).body, std::string(TestPages::kLargeBytes, 'x'));
}

TEST_F(HttpServerTest, WhatAPageThrowsIsAnAnswer) {
  Start();
  EXPECT_EQ(HttpGet(port(), "/throws").status, 500);
  EXPECT_EQ(HttpGet(port(), "/throws").body, "out of luck\n");
  pages_.ThrowFromSlowPage();
  pages_.Let(1);
  EXPECT_EQ(HttpGet(port(), "/slow").status, 500);
  EXPECT_EQ(HttpGet(port(), "/fast").status, 200);
}

TEST_F(HttpServerTest, WhoAsksForTheSameIsAnsweredTogetherAndOthersApart) {
  Start();
  net::Socket first = Ask("GET /slow?a HTTP/1.1\r\n\r\n");
  pages_.WaitUntilBegun(1);
  std::vector<net::Socket> same;
  for (int i = 0; i < 3; ++i) same.push_back(Ask("GET /slow?a HTTP/1.1\r\n\r\n"));
  net::Socket other = Ask("GET /slow?b HTTP/1.1\r\n\r\n");
  // What changes something is done as often as it is asked for.
  std::vector<net::Socket> changes;
  for (int i = 0; i < 2; ++i) changes.push_back(Ask("DELETE /slow?c HTTP/1.1\r\n\r\n"));
  ASSERT_EQ(HttpGet(port(), "/fast").status, 200);  // all of them have arrived
  pages_.Let(100);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(first)).body, "slow 1\n");
  std::set<std::string> bodies;
  for (net::Socket& socket : same) bodies.insert(ParseHttpReply(ReadUntilEof(socket)).body);
  EXPECT_EQ(bodies.size(), 1u);
  EXPECT_FALSE(bodies.contains("slow 1\n"));
  EXPECT_FALSE(bodies.contains(ParseHttpReply(ReadUntilEof(other)).body));
  for (net::Socket& socket : changes) EXPECT_EQ(ParseHttpReply(ReadUntilEof(socket)).status, 200);
  const std::vector<HttpTarget> targets = pages_.targets();
  EXPECT_EQ(targets.size(), 5u);
  EXPECT_EQ(std::count_if(
                targets.begin(), targets.end(),
                [](const HttpTarget& target) { return target.method == "DELETE" && target.query == "c"; }),
            2);
}

TEST_F(HttpServerTest, ServesAtOnceWhileTheSlowPageIsBuilt) {
  Start();
  net::Socket waiting = Ask(kGetSlow);
  pages_.WaitUntilBegun(1);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(HttpGet(port(), "/fast").status, 200);
  pages_.Let(1);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(waiting)).body, "slow 1\n");
}

TEST_F(HttpServerTest, WhoAsksWhileAPageIsBuiltSharesTheNextOne) {
  Start();
  net::Socket first = Ask(kGetSlow);
  pages_.WaitUntilBegun(1);
  std::vector<net::Socket> others;
  for (int i = 0; i < 20; ++i) others.push_back(Ask(kGetSlow));
  // The loop has read all of them once it has read a later one.
  ASSERT_EQ(HttpGet(port(), "/fast").status, 200);
  pages_.Let(2);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(first)).body, "slow 1\n");
  for (net::Socket& other : others) EXPECT_EQ(ParseHttpReply(ReadUntilEof(other)).body, "slow 2\n");
}

TEST_F(HttpServerTest, WhoLeavesWhileItsPageIsBuiltHarmsNobody) {
  Start();
  {
    net::Socket gone = Ask(kGetSlow);
    pages_.WaitUntilBegun(1);
    gone.SetLingerZero();
  }
  net::Socket next = Ask(kGetSlow);
  pages_.Let(2);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(next)).body, "slow 2\n");
}

TEST_F(HttpServerTest, IdleClientsHoldUpNobody) {
  Start();
  std::vector<net::Socket> idle;
  for (int i = 0; i < 300; ++i) idle.push_back(Ask("GET /fa"));
  for (int i = 0; i < 20; ++i) ASSERT_EQ(HttpGet(port(), "/fast").status, 200);
}

TEST_F(HttpServerTest, ClientsThatDoNotReadHoldUpNobody) {
  Start();
  std::vector<net::Socket> readers;
  for (int i = 0; i < 20; ++i) readers.push_back(Ask(kGetLarge, 4096));
  for (int i = 0; i < 20; ++i) ASSERT_EQ(HttpGet(port(), "/fast").status, 200);
}

TEST_F(HttpServerTest, TheOldestWithoutARequestGoesFirstWhenItIsFull) {
  HttpServerOptions options = kPatient;
  options.connections_max = 3;
  Start(options);
  net::Socket served = Ask(kGetSlow);
  pages_.WaitUntilBegun(1);
  net::Socket oldest = Ask("GET");
  net::Socket newer = Ask("GET");
  // Each takes the place of the oldest that only holds one.
  net::Socket newest = Ask("GET");
  ExpectClosed(oldest);
  WriteBytes(newer, " /fast HTTP/1.1\r\n\r\n");
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(newer)).body, "fast\n");
  pages_.Let(1);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(served)).body, "slow 1\n");
}

TEST_F(HttpServerTest, FullOfClientsThatWaitTheOldestGoes) {
  HttpServerOptions options = kPatient;
  options.connections_max = 2;
  Start(options);
  net::Socket oldest = Ask(kGetSlow);
  pages_.WaitUntilBegun(1);
  net::Socket newer = Ask(kGetSlow);
  ASSERT_EQ(HttpGet(port(), "/fast").status, 200);
  ExpectClosed(oldest);
  pages_.Let(2);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(newer)).body, "slow 2\n");
}

TEST_F(HttpServerTest, ARequestThatArrivedIsNotEvictedUnread) {
  HttpServerOptions options = kPatient;
  options.connections_max = 2;
  Start(options);
  // All of them may come before the server looks: each finds the one before it with its request sent.
  std::vector<net::Socket> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(Ask(kGetFast));
  for (net::Socket& client : clients) EXPECT_EQ(ParseHttpReply(ReadUntilEof(client)).body, "fast\n");
}

TEST_F(HttpServerTest, AClientThatSendsItsRequestTooSlowlyIsCut) {
  HttpServerOptions options = kPatient;
  options.request_timeout = absl::Milliseconds(50);
  options.linger_timeout = absl::Milliseconds(50);
  Start(options);
  net::Socket silent = ConnectTo(port());
  ExpectClosed(silent);
  net::Socket slow = Ask("GET /fast HTTP/1.1\r\nX: y\r\n");
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(slow)).status, 408);
}

TEST_F(HttpServerTest, BytesNowAndThenDoNotExtendTheTime) {
  HttpServerOptions options = kPatient;
  options.request_timeout = absl::Milliseconds(200);
  Start(options);
  net::Socket socket = Ask("GET /fast HTTP/1.1\r\n");
  pollfd answer = {socket.fd(), POLLIN, 0};
  int bytes = 0;
  // A byte every 10 ms, until there is an answer. 8 KiB would be another reason to refuse it.
  for (; ::poll(&answer, 1, 10) == 0 && bytes < 2000; ++bytes) WriteBytes(socket, "X");
  EXPECT_LT(bytes, 2000);
  EXPECT_THAT(ReadUntilEof(socket), StartsWith("HTTP/1.1 408 "));
}

TEST_F(HttpServerTest, AClientThatDoesNotReadItsAnswerIsCut) {
  HttpServerOptions options = kPatient;
  options.response_timeout = absl::Milliseconds(50);
  Start(options);
  net::Socket socket = Ask(kGetLarge, 4096);
  // It never reads; the server's end is gone when what is written to it is answered by a reset.
  EXPECT_TRUE(Eventually([&] {
    const iovec piece = {const_cast<char*>("x"), 1};
    return socket.Write({&piece, 1}).status == net::IoStatus::kReset;
  }));
}

TEST_F(HttpServerTest, AClientThatDoesNotCloseIsClosed) {
  HttpServerOptions options = kPatient;
  options.linger_timeout = absl::Milliseconds(50);
  Start(options);
  net::Socket socket = Ask(kGetFast);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(socket)).status, 200);
  EXPECT_TRUE(Eventually([&] {
    const iovec piece = {const_cast<char*>("x"), 1};
    return socket.Write({&piece, 1}).status == net::IoStatus::kReset;
  }));
}

TEST_F(HttpServerTest, WithoutDescriptorsItStillServesOneAtATime) {
  StartAndServeOnce();
  std::vector<net::FileDescriptor> unconnected = Unconnected(5);
  const DescriptorLimit none(0);
  std::vector<net::Socket> clients;
  for (net::FileDescriptor& fd : unconnected) {
    clients.push_back(Connect(std::move(fd)));
    WriteBytes(clients.back(), kGetFast);
    EXPECT_EQ(ParseHttpReply(ReadUntilEof(clients.back())).body, "fast\n");
    // Gives the server's descriptor back, and keeps ours.
    clients.back().ShutdownWrite();
  }
}

TEST_F(HttpServerTest, WithoutDescriptorsItWaitsWithoutSpinning) {
  StartAndServeOnce();
  const SpinWatch watch;
  std::vector<net::FileDescriptor> unconnected = Unconnected(2);
  const DescriptorLimit none(0);
  net::Socket holder = Connect(std::move(unconnected[0]));
  WriteBytes(holder, kGetSlow);
  pages_.WaitUntilBegun(2);
  net::Socket waiting = Connect(std::move(unconnected[1]));
  WriteBytes(waiting, kGetFast);
  EXPECT_FALSE(watch.Spins());
  // The one that has the only descriptor is answered; the other takes its place.
  pages_.Let(2);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(holder)).body, "slow 2\n");
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(waiting)).body, "fast\n");
}

TEST_F(HttpServerTest, WithoutDescriptorsASlowClientDoesNotKeepTheOnlyOne) {
  StartAndServeOnce();
  std::vector<net::FileDescriptor> unconnected = Unconnected(4);
  const DescriptorLimit none(0);
  std::vector<net::Socket> slow;
  for (int i = 0; i < 3; ++i) {
    slow.push_back(Connect(std::move(unconnected[static_cast<size_t>(i)])));
    WriteBytes(slow.back(), "GET");
  }
  net::Socket client = Connect(std::move(unconnected[3]));
  WriteBytes(client, kGetFast);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(client)).body, "fast\n");
}

TEST_F(HttpServerTest, WaitingForRoomToWriteDoesNotSpin) {
  Start();
  const SpinWatch watch;
  net::Socket socket = Ask(kGetLarge, 4096);
  // Bytes that nobody reads stay readable all the while.
  WriteBytes(socket, std::string(1000, 'x'));
  EXPECT_FALSE(watch.Spins());
}

TEST_F(HttpServerTest, WaitingForThePageDoesNotSpin) {
  Start();
  const SpinWatch watch;
  net::Socket socket = Ask(kGetSlow);
  pages_.WaitUntilBegun(1);
  WriteBytes(socket, std::string(1000, 'x'));
  socket.ShutdownWrite();
  EXPECT_FALSE(watch.Spins());
}

TEST_F(HttpServerTest, ThreadsTakeNoSignals) {
  static std::atomic<int> taken = 0;
  static std::atomic<int> taken_elsewhere = 0;
  static const pthread_t test_thread = ::pthread_self();
  struct sigaction action = {};
  action.sa_handler = [](int) {
    ++taken;
    if (::pthread_equal(::pthread_self(), test_thread) == 0) ++taken_elsewhere;
  };
  struct sigaction before = {};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  Start();
  sigset_t usr1;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  // While this thread blocks it, any other that does not would get it.
  ::pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
  ::kill(::getpid(), SIGUSR1);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(HttpGet(port(), "/fast").status, 200);
  EXPECT_EQ(taken.load(), 0);
  ::pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);
  EXPECT_TRUE(Eventually([] { return taken.load() == 1; }));
  EXPECT_EQ(taken_elsewhere.load(), 0);
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(HttpServerTest, NoClientCanRaiseSigpipe) {
  ::signal(SIGPIPE, SIG_DFL);
  Start();
  for (int i = 0; i < 20; ++i) {
    net::Socket socket = Ask(kGetLarge, 4096);
    socket.SetLingerZero();
  }
  EXPECT_EQ(HttpGet(port(), "/fast").status, 200);
}

TEST_F(HttpServerTest, EndsAtOnceWhenNothingIsDue) {
  Start();
  std::vector<net::Socket> idle;
  for (int i = 0; i < 20; ++i) idle.push_back(Ask("GET"));
  net::Socket answered = Ask(kGetFast);
  EXPECT_EQ(ParseHttpReply(ReadUntilEof(answered)).status, 200);
  const uint16_t was = port();
  server_.reset();
  for (net::Socket& socket : idle) ExpectClosed(socket);
  // The port is free again.
  absl::StatusOr<std::unique_ptr<HttpServer>> again =
      HttpServer::Start({"127.0.0.1", was}, kPatient, &pages_);
  EXPECT_TRUE(again.ok()) << again.status();
}

TEST_F(HttpServerTest, FinishesAnswersThatAreDueWhenItEnds) {
  Start();
  net::Socket waiting = Ask(kGetSlow);
  pages_.WaitUntilBegun(1);
  std::thread end([&] { server_.reset(); });
  pages_.Let(1);
  const std::string reply = ReadUntilEof(waiting);
  waiting.Close();
  end.join();
  EXPECT_EQ(ParseHttpReply(reply).body, "slow 1\n");
}

TEST_F(HttpServerTest, DoesNotWaitLongForClientsWhenItEnds) {
  HttpServerOptions options = kPatient;
  options.linger_timeout = absl::Milliseconds(50);
  Start(options);
  net::Socket reader = Ask(kGetLarge, 4096);
  ASSERT_EQ(HttpGet(port(), "/fast").status, 200);
  const Clock::time_point start = Clock::now();
  server_.reset();
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
}

TEST_F(HttpServerTest, SaysWhyItCannotListen) {
  Start();
  const absl::Status in_use = HttpServer::Start({"127.0.0.1", port()}, kPatient, &pages_).status();
  EXPECT_EQ(in_use.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(in_use.message(), fmt::format("cannot listen on 127.0.0.1:{}: address already in use", port()));
  EXPECT_EQ(HttpServer::Start({"192.0.2.1", 0}, kPatient, &pages_).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(HttpServerTest, SaysThatThereAreNoDescriptors) {
  const DescriptorLimit none(0);
  EXPECT_EQ(HttpServer::Start({"127.0.0.1", 0}, kPatient, &pages_).status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace sluice
