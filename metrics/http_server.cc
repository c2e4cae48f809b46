#include "metrics/http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "broker/net/listener_socket.h"
#include "broker/net/poller.h"
#include "broker/net/socket.h"
#include "broker/net/wakeup.h"
#include "metrics/http_request.h"
#include "metrics/page_builder.h"
#include "metrics/quiet_thread.h"

namespace sluice {
namespace {

constexpr int kAcceptsPerTurnMax = 64;
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);
constexpr size_t kReadBytes = 4096;

constexpr uint64_t kListenerToken = 0;
constexpr uint64_t kWakeupToken = 1;
constexpr uint64_t kFirstConnectionToken = 2;

using Page = std::shared_ptr<const HttpResponse>;

absl::Time MonotonicNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace

class HttpServer::Loop {
 public:
  Loop(net::ListenerSocket listener, net::Poller poller, net::Wakeup wakeup, const HttpServerOptions& options,
       HttpPages* pages)
      : port_(listener.port()),
        options_(options),
        pages_(pages),
        wakeup_(std::move(wakeup)),
        poller_(std::move(poller)),
        listener_(std::move(listener)),
        builder_(pages, &wakeup_) {
    spare_.Refill();
  }
  ~Loop() {
    stopping_.store(true);
    wakeup_.Notify();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start();
  uint16_t port() const { return port_; }

 private:
  struct Connection {
    enum class State {
      kReading,  // the request's head
      kWaiting,  // for the slow page
      kWriting,  // the answer
      kClosing,  // the answer left; the client closes next
    };
    net::Socket socket;
    absl::Time accepted_at;
    absl::Time deadline;
    State state = State::kReading;
    std::string received;
    bool head_only = false;
    std::string head;
    Page response;
    size_t sent_bytes = 0;
    net::Interest interest = net::Interest::kReadLevel;
  };
  // Tokens grow, so that the first is the oldest.
  using Connections = std::map<uint64_t, Connection>;

  void Run();
  absl::Duration UntilNextDeadline() const;
  void BeginStop();

  void Accept();
  void Add(net::Socket socket);
  void PauseAccepting();
  void ResumeAccepting();
  // Closes the oldest that was answered, or that was accepted by then and has sent no request yet.
  enum class Evicted { kNone, kOne };
  [[nodiscard]] Evicted EvictIdle(absl::Time accepted_until);

  void OnEvent(const net::Event& event);
  void OnReadable(Connections::iterator at);
  void OnRequest(Connections::iterator at, const HttpRequest& request);
  void AskSlowly(Connections::iterator at, HttpTarget target);
  void FinishPage();
  void Respond(Connections::iterator at, Page response);
  void Respond(Connections::iterator at, int status, std::string text);
  void Flush(Connections::iterator at);
  void BeginClosing(Connections::iterator at);
  void CloseOverdue();
  Connections::iterator Close(Connections::iterator at);
  // Closes it when that cannot be done.
  void Expect(Connections::iterator at, net::Interest interest);

  // Constant after construction
  const uint16_t port_;
  const HttpServerOptions options_;
  HttpPages* const pages_;

  std::atomic<bool> stopping_ = false;
  net::Wakeup wakeup_;

  // Owned by the thread
  net::Poller poller_;
  std::optional<net::ListenerSocket> listener_;  // none: no connections are taken any more
  net::SpareDescriptor spare_;
  absl::Time accept_again_at_ = absl::InfiniteFuture();  // InfiniteFuture(): the listener is not paused
  absl::Time now_ = absl::InfinitePast();
  Connections connections_;
  uint64_t next_token_ = kFirstConnectionToken;
  // Slow pages and who gets them, in turn; the first is being built.
  struct Job {
    HttpTarget target;
    std::vector<uint64_t> asked_by;
  };
  std::deque<Job> jobs_;

  PageBuilder builder_;
  std::thread thread_;
};

absl::Status HttpServer::Loop::Start() {
  absl::Status added = poller_.Add(wakeup_.fd(), kWakeupToken, net::Interest::kReadLevel);
  if (added.ok()) added = poller_.Add(listener_->fd(), kListenerToken, net::Interest::kReadLevel);
  if (added.ok()) thread_ = QuietThread("http", [this] { Run(); });
  return added;
}

void HttpServer::Loop::Run() {
  for (;;) {
    const std::span<const net::Event> events = poller_.Wait(UntilNextDeadline());
    now_ = MonotonicNow();
    for (const net::Event& event : events) OnEvent(event);
    FinishPage();
    CloseOverdue();
    if (accept_again_at_ <= now_) ResumeAccepting();
    if (!stopping_.load()) continue;
    if (listener_.has_value()) BeginStop();
    if (connections_.empty()) return;
  }
}

absl::Duration HttpServer::Loop::UntilNextDeadline() const {
  absl::Time next = accept_again_at_;
  for (const auto& [token, connection] : connections_) next = std::min(next, connection.deadline);
  return next == absl::InfiniteFuture() ? absl::InfiniteDuration() : next - MonotonicNow();
}

void HttpServer::Loop::BeginStop() {
  listener_.reset();
  accept_again_at_ = absl::InfiniteFuture();
  for (auto at = connections_.begin(); at != connections_.end();) {
    Connection& connection = at->second;
    const bool answer_due =
        connection.state == Connection::State::kWaiting || connection.state == Connection::State::kWriting;
    connection.deadline = std::min(connection.deadline, now_ + options_.linger_timeout);
    at = answer_due ? std::next(at) : Close(at);
  }
}

// ---- Connections come ----

void HttpServer::Loop::Accept() {
  for (int i = 0; i < kAcceptsPerTurnMax; ++i) {
    net::AcceptResult accepted = listener_->Accept();
    if (accepted.status == net::AcceptStatus::kOutOfDescriptors && spare_.state() == net::SpareState::kHeld) {
      spare_.Release();
      accepted = listener_->Accept();
    }
    switch (accepted.status) {
      case net::AcceptStatus::kAccepted:
        Add(std::move(accepted.socket));
        break;
      case net::AcceptStatus::kAborted:
        break;
      case net::AcceptStatus::kWouldBlock:
        spare_.Refill();
        return;
      case net::AcceptStatus::kOutOfDescriptors:
        // Whoever has the only one had time for a request, but no longer than that while others wait.
        if (EvictIdle(now_ - kAcceptPause) == Evicted::kOne) break;
        return PauseAccepting();
      case net::AcceptStatus::kOutOfMemory:
      case net::AcceptStatus::kError:
        return PauseAccepting();
    }
  }
}

void HttpServer::Loop::Add(net::Socket socket) {
  if (connections_.size() >= options_.connections_max && EvictIdle(now_) == Evicted::kNone) {
    Close(connections_.begin());
  }
  const uint64_t token = next_token_++;
  if (!poller_.Add(socket.fd(), token, net::Interest::kReadLevel).ok()) return;
  Connection connection;
  connection.socket = std::move(socket);
  connection.accepted_at = now_;
  connection.deadline = now_ + options_.request_timeout;
  connections_.emplace(token, std::move(connection));
}

void HttpServer::Loop::PauseAccepting() {
  // Otherwise the event would come back at once, for ever.
  if (poller_.Modify(listener_->fd(), kListenerToken, net::Interest::kNothing).ok()) {
    accept_again_at_ = now_ + kAcceptPause;
  }
}

void HttpServer::Loop::ResumeAccepting() {
  const absl::Status modified = poller_.Modify(listener_->fd(), kListenerToken, net::Interest::kReadLevel);
  accept_again_at_ = modified.ok() ? absl::InfiniteFuture() : now_ + kAcceptPause;
}

HttpServer::Loop::Evicted HttpServer::Loop::EvictIdle(absl::Time accepted_until) {
  for (auto at = connections_.begin(); at != connections_.end();) {
    const uint64_t token = at->first;
    // What it sent may have arrived since the last look.
    if (at->second.state == Connection::State::kReading) OnReadable(at);
    at = connections_.lower_bound(token);
    if (at == connections_.end() || at->first != token) return Evicted::kOne;  // that ended it
    const Connection& connection = at->second;
    if (connection.state == Connection::State::kClosing ||
        (connection.state == Connection::State::kReading && connection.accepted_at <= accepted_until)) {
      Close(at);
      return Evicted::kOne;
    }
    ++at;
  }
  return Evicted::kNone;
}

// ---- Connections are served ----

void HttpServer::Loop::OnEvent(const net::Event& event) {
  if (event.token == kWakeupToken) return wakeup_.Drain();
  if (event.token == kListenerToken) {
    // It may have been closed or paused by an event before this one.
    if (listener_.has_value() && accept_again_at_ == absl::InfiniteFuture()) Accept();
    return;
  }
  const auto at = connections_.find(event.token);
  if (at == connections_.end()) return;
  switch (at->second.state) {
    case Connection::State::kReading:
    case Connection::State::kClosing:
      return OnReadable(at);
    case Connection::State::kWaiting:
      if (event.failed) Close(at);
      return;
    case Connection::State::kWriting:
      // A failure shows at the next write; what the client still sends does not matter.
      if (event.writable || event.failed) Flush(at);
      return;
  }
}

void HttpServer::Loop::OnReadable(Connections::iterator at) {
  Connection& connection = at->second;
  std::array<char, kReadBytes> buffer;
  const iovec room = {buffer.data(), buffer.size()};
  const net::IoResult read = connection.socket.Read({&room, 1});
  if (read.status == net::IoStatus::kWouldBlock) return;
  if (read.status != net::IoStatus::kOk) {
    Close(at);
    return;
  }
  if (connection.state == Connection::State::kClosing) return;
  connection.received.append(buffer.data(), read.bytes);
  HttpRequest request;
  switch (ParseHttpRequest(connection.received, &request)) {
    case HttpParse::kIncomplete:
      return;
    case HttpParse::kOk:
      return OnRequest(at, request);
    case HttpParse::kBadRequest:
      return Respond(at, 400, "not an HTTP request\n");
    case HttpParse::kHeadTooLarge:
      return Respond(at, 431, fmt::format("the request's head is larger than {} bytes\n", kHttpHeadBytesMax));
    case HttpParse::kVersionNotSupported:
      return Respond(at, 505, "only HTTP/1.x\n");
  }
}

void HttpServer::Loop::OnRequest(Connections::iterator at, const HttpRequest& request) {
  Connection& connection = at->second;
  connection.head_only = request.method == "HEAD";
  HttpRequest asked = request;
  if (connection.head_only) asked.method = "GET";
  std::optional<HttpResponse> page = AskPage(pages_, asked);
  if (page.has_value()) return Respond(at, std::make_shared<const HttpResponse>(*std::move(page)));
  connection.state = Connection::State::kWaiting;
  connection.deadline = now_ + options_.response_timeout;
  AskSlowly(at, {std::string(asked.method), std::string(asked.path), std::string(asked.query),
                 std::string(asked.authorization)});
  Expect(at, net::Interest::kNothing);
}

void HttpServer::Loop::AskSlowly(Connections::iterator at, HttpTarget target) {
  // What is being built may show what was before the request.
  if (target.method == "GET" && jobs_.size() > 1) {
    const auto same =
        std::find_if(jobs_.begin() + 1, jobs_.end(), [&](const Job& job) { return job.target == target; });
    if (same != jobs_.end()) return same->asked_by.push_back(at->first);
  }
  jobs_.push_back({std::move(target), {at->first}});
  if (jobs_.size() == 1) builder_.Begin(jobs_.front().target);
}

void HttpServer::Loop::FinishPage() {
  const Page page = builder_.Take();
  if (page == nullptr) return;
  const std::vector<uint64_t> asked_by = std::move(jobs_.front().asked_by);
  jobs_.pop_front();
  const auto gone = [this](uint64_t token) { return !connections_.contains(token); };
  while (!jobs_.empty() && std::all_of(jobs_.front().asked_by.begin(), jobs_.front().asked_by.end(), gone)) {
    jobs_.pop_front();
  }
  if (!jobs_.empty()) builder_.Begin(jobs_.front().target);
  for (const uint64_t token : asked_by) {
    if (const auto at = connections_.find(token); at != connections_.end()) Respond(at, page);
  }
}

void HttpServer::Loop::Respond(Connections::iterator at, int status, std::string text) {
  Respond(at, std::make_shared<const HttpResponse>(HttpResponse{status, std::move(text)}));
}

void HttpServer::Loop::Respond(Connections::iterator at, Page response) {
  Connection& connection = at->second;
  connection.state = Connection::State::kWriting;
  connection.deadline = now_ + (stopping_.load() ? options_.linger_timeout : options_.response_timeout);
  connection.head = HeadOf(*response);
  connection.response = std::move(response);
  Flush(at);
}

void HttpServer::Loop::Flush(Connections::iterator at) {
  Connection& connection = at->second;
  const std::string_view body = connection.head_only ? std::string_view() : connection.response->body;
  const size_t all_bytes = connection.head.size() + body.size();
  while (connection.sent_bytes < all_bytes) {
    const size_t head_sent = std::min(connection.sent_bytes, connection.head.size());
    const std::string_view head_rest = std::string_view(connection.head).substr(head_sent);
    const std::string_view body_rest = body.substr(connection.sent_bytes - head_sent);
    // writev's struct serves reading too and knows no const.
    const std::array<iovec, 2> pieces = {iovec{const_cast<char*>(head_rest.data()), head_rest.size()},
                                         iovec{const_cast<char*>(body_rest.data()), body_rest.size()}};
    const net::IoResult written = connection.socket.Write(pieces);
    if (written.status == net::IoStatus::kWouldBlock) return Expect(at, net::Interest::kReadWrite);
    if (written.status != net::IoStatus::kOk) {
      Close(at);
      return;
    }
    connection.sent_bytes += written.bytes;
  }
  BeginClosing(at);
}

// Closing at once would reset the connection if the client had sent more than its head, and the answer might
// never reach it.
void HttpServer::Loop::BeginClosing(Connections::iterator at) {
  Connection& connection = at->second;
  connection.socket.ShutdownWrite();
  connection.state = Connection::State::kClosing;
  connection.deadline = std::min(connection.deadline, now_ + options_.linger_timeout);
  connection.received = {};
  connection.response = nullptr;
  Expect(at, net::Interest::kReadLevel);
}

void HttpServer::Loop::CloseOverdue() {
  for (auto at = connections_.begin(); at != connections_.end();) {
    // Answering may close it.
    const auto overdue = at++;
    Connection& connection = overdue->second;
    if (connection.deadline > now_) continue;
    if (connection.state == Connection::State::kReading && !connection.received.empty()) {
      Respond(overdue, 408, "the request took too long\n");
    } else {
      Close(overdue);
    }
  }
}

HttpServer::Loop::Connections::iterator HttpServer::Loop::Close(Connections::iterator at) {
  const auto next = connections_.erase(at);
  spare_.Refill();
  if (listener_.has_value() && accept_again_at_ != absl::InfiniteFuture()) accept_again_at_ = now_;
  return next;
}

void HttpServer::Loop::Expect(Connections::iterator at, net::Interest interest) {
  // Saying it again would report again what is true already, bytes that nobody reads for instance.
  if (std::exchange(at->second.interest, interest) == interest) return;
  if (!poller_.Modify(at->second.socket.fd(), at->first, interest).ok()) Close(at);
}

// ---- The server ----

HttpServer::HttpServer() = default;

HttpServer::~HttpServer() = default;

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const net::HostPort& where,
                                                              const HttpServerOptions& options,
                                                              HttpPages* pages) {
  absl::StatusOr<net::ListenerSocket> listener = net::ListenerSocket::Listen(where, net::kBacklogDefault);
  if (!listener.ok()) return listener.status();
  absl::StatusOr<net::Poller> poller = net::Poller::Create();
  if (!poller.ok()) return poller.status();
  absl::StatusOr<net::Wakeup> wakeup = net::Wakeup::Create();
  if (!wakeup.ok()) return wakeup.status();

  std::unique_ptr<HttpServer> server(new HttpServer());
  try {
    server->loop_ =
        std::make_unique<Loop>(*std::move(listener), *std::move(poller), *std::move(wakeup), options, pages);
    absl::Status started = server->loop_->Start();
    if (!started.ok()) return started;
  } catch (const std::system_error& error) {  // a thread cannot be had
    return absl::ResourceExhaustedError(
        fmt::format("cannot serve on {}: {}", where.ToString(), error.what()));
  }
  return server;
}

uint16_t HttpServer::port() const { return loop_->port(); }

}  // namespace sluice
