// Sessions over real sockets, in turns that a test makes: what a shard gives them and does with them, without
// its thread, its poller and its clock.
//
//   SessionRig rig(config);
//   SessionRig::Peer* peer = rig.ConnectAs("dash-7");
//   rig.Send(peer, SubscribeFrame(1, "ticks.>"));
//   rig.Await(peer, v1::ServerFrame::kSubscribed);       // turns until it has come
//   rig.now += absl::Seconds(10);
//   rig.Turn();
#ifndef SLUICE_TESTS_BROKER_SESSION_RIG_H_
#define SLUICE_TESTS_BROKER_SESSION_RIG_H_

#include <poll.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/session.h"
#include "protocol/frame.h"
#include "protocol/sluice.pb.h"
#include "tests/support/eventually.h"
#include "tests/support/socket_pair.h"

namespace sluice::testing {

inline std::string Encoded(const v1::ClientFrame& frame) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  return bytes;
}
inline v1::ClientFrame ConnectFrame(std::string_view name, std::string_view previous_session = "") {
  v1::ClientFrame frame;
  frame.mutable_connect()->set_protocol_version(1);
  frame.mutable_connect()->set_client_name(std::string(name));
  frame.mutable_connect()->set_previous_session(std::string(previous_session));
  return frame;
}
inline v1::ClientFrame SubscribeFrame(uint32_t id, std::string_view filter,
                                      std::string_view queue_group = "") {
  v1::ClientFrame frame;
  frame.mutable_subscribe()->set_subscription(id);
  frame.mutable_subscribe()->set_filter(std::string(filter));
  frame.mutable_subscribe()->set_queue_group(std::string(queue_group));
  return frame;
}
inline v1::ClientFrame UnsubscribeFrame(uint32_t id, uint64_t after_messages = 0) {
  v1::ClientFrame frame;
  frame.mutable_unsubscribe()->set_subscription(id);
  frame.mutable_unsubscribe()->set_after_messages(after_messages);
  return frame;
}
inline v1::ClientFrame CreditFrame(uint32_t id, uint64_t granted_bytes) {
  v1::ClientFrame frame;
  frame.mutable_credit()->set_subscription(id);
  frame.mutable_credit()->set_granted_bytes(granted_bytes);
  return frame;
}
inline v1::ClientFrame PublishFrame(std::string_view topic, std::string_view payload,
                                    std::string_view reply_to = "") {
  v1::ClientFrame frame;
  frame.mutable_message()->set_topic(std::string(topic));
  frame.mutable_message()->set_payload(std::string(payload));
  frame.mutable_message()->set_reply_to(std::string(reply_to));
  return frame;
}
inline v1::ClientFrame PingFrame(uint64_t id) {
  v1::ClientFrame frame;
  frame.mutable_ping()->set_id(id);
  return frame;
}
inline v1::ClientFrame AckRequestFrame(uint64_t id) {
  v1::ClientFrame frame;
  frame.mutable_ack_request()->set_id(id);
  return frame;
}

class SessionRig {
 public:
  struct Peer {
    size_t index = 0;
    net::Socket client;
    // Null when it has ended.
    std::unique_ptr<Session> session;

    // What the client has read.
    std::string bytes;
    std::deque<v1::ServerFrame> frames;
    v1::Connected connected;
    enum class Input { kOpen, kEof, kReset } input = Input::kOpen;
  };

  explicit SessionRig(const Config& config = Config()) : limits(config) {
    context.events = &events;
    context.episodes = &episodes;
  }
  // Sessions leave their groups as they end; what a test leaves open must too.
  ~SessionRig() {
    for (const auto& peer : peers) {
      if (peer->session == nullptr) continue;
      peer->session->subscriber().ForEachSubscription(
          [&](Subscription* subscription) { index.Detach(subscription); });
    }
  }

  // ---- Clients ----

  Peer* Connect(const SocketPairOptions& options = {}) {
    SocketPair pair = ConnectedTcpPair(options);
    auto peer = std::make_unique<Peer>();
    peer->index = peers.size();
    peer->client = std::move(pair.client);
    if (!pair.server.Apply({}).ok() || !peer->client.Apply({}).ok()) throw std::runtime_error("TCP_NODELAY");
    const net::SocketAddress address = pair.server.PeerAddress();
    peer->session = std::make_unique<Session>(peer->index, std::move(pair.server), address, &context, now);
    peers.push_back(std::move(peer));
    return peers.back().get();
  }
  Peer* ConnectAs(std::string_view name, const SocketPairOptions& options = {},
                  std::string_view previous_session = "") {
    Peer* peer = Connect(options);
    Send(peer, ConnectFrame(name, previous_session));
    peer->connected = Await(peer, v1::ServerFrame::kConnected).connected();
    return peer;
  }
  void Send(Peer* peer, const v1::ClientFrame& frame) { SendRaw(peer, Encoded(frame)); }
  // Turns as long as the kernel has no room for it.
  void SendRaw(Peer* peer, std::string_view bytes) {
    while (!bytes.empty()) {
      const iovec piece = {const_cast<char*>(bytes.data()), bytes.size()};
      const net::IoResult result = peer->client.Write({&piece, 1});
      if (result.status == net::IoStatus::kOk) {
        bytes.remove_prefix(result.bytes);
      } else if (result.status == net::IoStatus::kWouldBlock) {
        Turn();
      } else {
        throw std::runtime_error("the client's write failed");
      }
    }
  }
  // Reads what has come, at most `bytes_max`.
  void Receive(Peer* peer, size_t bytes_max = SIZE_MAX) {
    std::vector<char> room(std::min<size_t>(bytes_max, 64 << 10));
    while (bytes_max > 0 && peer->input == Peer::Input::kOpen) {
      const iovec piece = {room.data(), std::min(room.size(), bytes_max)};
      const net::IoResult result = peer->client.Read({&piece, 1});
      if (result.status == net::IoStatus::kWouldBlock) break;
      if (result.status == net::IoStatus::kEof) {
        peer->input = Peer::Input::kEof;
      } else if (result.status != net::IoStatus::kOk) {
        peer->input = Peer::Input::kReset;
      } else {
        peer->bytes.append(room.data(), result.bytes);
        bytes_max -= result.bytes;
      }
    }
    size_t at = 0;
    for (;;) {
      const std::string_view rest = std::string_view(peer->bytes).substr(at);
      const FramePrefix prefix = ReadFramePrefix(rest);
      if (prefix.status != FramePrefixStatus::kComplete || prefix.frame_bytes() > rest.size()) break;
      v1::ServerFrame frame;
      if (!frame.ParseFromString(std::string(rest.substr(prefix.prefix_bytes, prefix.body_bytes)))) {
        throw std::runtime_error("the stream is torn");
      }
      peer->frames.push_back(std::move(frame));
      at += prefix.frame_bytes();
    }
    peer->bytes.erase(0, at);
  }
  // Turns and reads until a frame of that kind has come, and takes it out.
  v1::ServerFrame Await(Peer* peer, v1::ServerFrame::FrameCase kind) {
    v1::ServerFrame found;
    Until([&] {
      Receive(peer);
      const auto at = std::find_if(peer->frames.begin(), peer->frames.end(),
                                   [&](const v1::ServerFrame& frame) { return frame.frame_case() == kind; });
      if (at == peer->frames.end()) return false;
      found = std::move(*at);
      peer->frames.erase(at);
      return true;
    });
    return found;
  }
  // Until everything that the client sent was handled.
  void Barrier(Peer* peer) {
    Send(peer, PingFrame(4711));
    while (Await(peer, v1::ServerFrame::kServerPong).server_pong().id() != 4711) {
    }
  }
  // Reads to the end of the stream.
  void AwaitEnd(Peer* peer) {
    Until([&] {
      Receive(peer);
      return peer->input != Peer::Input::kOpen;
    });
  }
  // Goodbye is the last frame, and then the stream ends.
  v1::Goodbye AwaitGoodbye(Peer* peer) {
    AwaitEnd(peer);
    if (peer->input != Peer::Input::kEof || peer->frames.empty() || !peer->frames.back().has_goodbye()) {
      throw std::runtime_error("no Goodbye, or not at the end");
    }
    return peer->frames.back().goodbye();
  }
  // Takes out the payloads that have come for all subscriptions.
  std::vector<std::string> Payloads(Peer* peer) {
    std::vector<std::string> payloads;
    std::erase_if(peer->frames, [&](const v1::ServerFrame& frame) {
      if (!frame.has_message()) return false;
      payloads.push_back(frame.message().payload());
      return true;
    });
    return payloads;
  }
  // As a process that is killed with something unread: the broker gets a reset.
  static void Reset(Peer* peer) {
    peer->client.SetLingerZero();
    peer->client.Close();
    peer->input = Peer::Input::kReset;
  }

  // ---- Turns ----

  void Until(const std::function<bool()>& condition) {
    if (!Eventually([&] {
          if (condition()) return true;
          Turn();
          return condition();
        })) {
      throw std::runtime_error("waited in vain");
    }
  }
  void UntilEnded(Peer* peer) {
    Until([&] { return peer->session == nullptr; });
  }

  void Turn() {
    ++context.turn;
    for (const auto& peer : peers) TakeEvents(peer.get());
    for (const auto& peer : peers) Read(peer.get());
    events.Publish();
    FanOutAndFlush();
    for (const auto& peer : peers) {
      if (peer->session == nullptr) continue;
      if (peer->session->has_answers()) peer->session->Answer();
      Flush(peer.get());
    }
    for (const auto& peer : peers) {
      if (peer->session == nullptr || now < peer->session->NextDeadline()) continue;
      peer->session->CheckDeadlines(now);
      Flush(peer.get());
    }
    Settle();
  }

  // The phases of a turn.
  void TakeEvents(Peer* peer) {
    if (peer->session == nullptr) return;
    const bool blocked = peer->session->interest() == net::Interest::kReadWrite;
    const int16_t wanted = static_cast<int16_t>(POLLIN | POLLRDHUP | (blocked ? POLLOUT : 0));
    pollfd ready = {.fd = peer->session->fd(), .events = wanted, .revents = 0};
    if (::poll(&ready, 1, 0) <= 0) return;
    if ((ready.revents & (POLLERR | POLLHUP)) != 0) peer->session->Failed();
    if ((ready.revents & POLLRDHUP) != 0) peer->session->PeerClosed();
    if ((ready.revents & POLLOUT) != 0) peer->session->BecameWritable();
  }
  void Read(Peer* peer) {
    if (peer->session == nullptr) return;
    for (int i = 0; i < 8 && peer->session->Read(now) == Session::ReadOutcome::kMore; ++i) {
    }
  }
  void FanOutAndFlush() {
    while (Subscriber* subscriber = fan_out.Next(now)) Flush(peers[subscriber->token()].get());
    DetachEnded();
    if (other_shards == OtherShards::kDone) context.turn_done = context.turn;
    Book();
  }
  void Book() {
    const FanOut::Report report = fan_out.TakeReport();
    counters.pending_messages.Add(static_cast<int64_t>(report.queued_messages));
    counters.pending_bytes.Add(static_cast<int64_t>(report.queued_bytes));
    counters.messages_dropped.Add(report.dropped_messages);
  }
  void Flush(Peer* peer) {
    if (peer->session == nullptr || !peer->session->wants_flush()) return;
    (void)peer->session->Flush(now);
  }
  void Settle() {
    for (const auto& peer : peers) (void)Advance(peer.get());
    Book();  // a shard does so in its next turn
    (void)fan_out.TakeLetters();
    (void)index.TakeAnnouncementsDue();
    index.RemoveEmptyGroups();
  }
  Session::Life Advance(Peer* peer) {
    if (peer->session == nullptr) return Session::Life::kEnded;
    peer->session->CountLagging(now);
    peer->session->EndCutSubscriptions(now);
    if (!peer->session->closing()) return Session::Life::kGoesOn;
    const Session::Life life = peer->session->Advance(now);
    DetachEnded();
    if (life == Session::Life::kEnded) peer->session.reset();
    return life;
  }
  void DetachEnded() {
    for (Subscription* ended : fan_out.TakeEnded()) {
      if (ended->group == nullptr) continue;
      index.Detach(ended);
      counters.subscriptions.Add(-1);
      ended->subscriber->RemoveEnded();
    }
  }

  uint64_t ended(v1::Reason reason) const { return counters.sessions_ended[reason].Get(); }
  uint64_t ended_total() const {
    uint64_t total = 0;
    for (const Counter& counter : counters.sessions_ended) total += counter.Get();
    return total;
  }
  size_t LogLinesWith(std::string_view words) const {
    size_t lines = 0;
    std::istringstream said(log_lines.str());
    for (std::string line; std::getline(said, line);) lines += line.find(words) != std::string::npos ? 1 : 0;
    return lines;
  }

  // May be changed before the first session connects.
  SessionLimits limits;
  MemoryAccount memory;
  ChunkPool pool{256 << 10, &memory};
  OpenChunk read_chunk{&pool};
  BacklogPool backlogs{&memory};
  SharedLimitsPool shared_limits;
  FilterIndex index{1000};
  FanOut fan_out{&pool};
  std::unique_ptr<WriteScratch> scratch = std::make_unique<WriteScratch>();
  ShardCounters counters;
  SessionRecords records;
  std::ostringstream log_lines;
  std::unique_ptr<Logger> log = Logger::ToStream(&log_lines, LogLevel::kDebug, LogFormat::kText);
  SessionContext context{limits,   index,         fan_out,  read_chunk, *scratch, memory,
                         backlogs, shared_limits, counters, records,    *log};
  Episodes episodes;
  ConsumerEvents events{&index, &fan_out, &read_chunk, &counters.consumer_events};
  // Whether they have done everything that was asked of them.
  enum class OtherShards { kDone, kBusy } other_shards = OtherShards::kDone;
  absl::Time now = absl::FromUnixSeconds(1000);
  std::vector<std::unique_ptr<Peer>> peers;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_BROKER_SESSION_RIG_H_
