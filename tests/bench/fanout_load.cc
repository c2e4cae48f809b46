// What one delivery costs a broker: a publisher, S subscribers of one topic, messages of one size, closed
// loop (the publisher stays at most a window ahead of the slowest subscriber). Speaks Sluice's protocol or
// that of NATS, and counts bytes without looking into them, so that the load costs the same for both and
// little beside the broker.
//
//   fanout_load sluice PORT PID SUBSCRIBERS PAYLOAD_BYTES SECONDS [WINDOW_BYTES]
//   fanout_load nats   PORT PID SUBSCRIBERS PAYLOAD_BYTES SECONDS [WINDOW_BYTES]
//
// PID is the broker's: its CPU time is read from /proc/PID/stat before and after. One line of JSON comes out.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/frame.h"
#include "protocol/sluice.pb.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

struct Language {
  std::string open;         // before everything else
  std::string open_answer;  // its last bytes, to be waited for; empty: one frame of Sluice
  std::string subscribe;    // and the same for subscribing
  std::string subscribed;
  std::string publish;       // one message
  uint64_t delivered_bytes;  // one message
};

std::string Frame(const v1::ClientFrame& frame) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  return bytes;
}

Language Sluice(size_t payload_bytes) {
  Language language;
  v1::ClientFrame connect;
  connect.mutable_connect()->set_protocol_version(1);
  connect.mutable_connect()->set_client_name("fanout_load");
  language.open = Frame(connect);
  v1::ClientFrame subscribe;
  subscribe.mutable_subscribe()->set_subscription(1);
  subscribe.mutable_subscribe()->set_filter("bench.topic");
  language.subscribe = Frame(subscribe);
  v1::ClientFrame message;
  message.mutable_message()->set_topic("bench.topic");
  message.mutable_message()->set_payload(std::string(payload_bytes, 'x'));
  language.publish = Frame(message);
  language.delivered_bytes = language.publish.size();
  return language;
}

Language Nats(size_t payload_bytes) {
  Language language;
  language.open = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";
  language.open_answer = "PONG\r\n";
  language.subscribe = "SUB bench.topic 1\r\nPING\r\n";
  language.subscribed = "PONG\r\n";
  language.publish =
      fmt::format("PUB bench.topic {}\r\n{}\r\n", payload_bytes, std::string(payload_bytes, 'x'));
  language.delivered_bytes =
      fmt::format("MSG bench.topic 1 {}\r\n{}\r\n", payload_bytes, std::string(payload_bytes, 'x')).size();
  return language;
}

int Connect(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error(fmt::format("cannot connect to port {}: {}", port, std::strerror(errno)));
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// Sends a request and reads until its answer is there: the text it ends with, or one whole frame.
void Ask(int fd, const std::string& request, std::string_view answer) {
  if (::write(fd, request.data(), request.size()) != static_cast<ssize_t>(request.size())) {
    throw std::runtime_error("short write");
  }
  std::string got;
  for (;;) {
    char byte;
    if (::read(fd, &byte, 1) != 1) throw std::runtime_error("the broker closed: " + got);
    got.push_back(byte);
    if (!answer.empty()) {
      if (got.ends_with(answer)) return;
      continue;
    }
    const FramePrefix prefix = ReadFramePrefix(got);
    if (prefix.status == FramePrefixStatus::kComplete && got.size() == prefix.frame_bytes()) return;
  }
}

double CpuSeconds(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string word;
  double ticks = 0;
  for (int field = 3; field <= 15 && fields >> word; ++field) {
    if (field >= 14) ticks += std::stod(word);
  }
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

int Main(int argc, char** argv) {
  if (argc < 7)
    throw std::runtime_error("usage: fanout_load sluice|nats PORT PID SUBSCRIBERS BYTES SECONDS [WINDOW]");
  const std::string name = argv[1];
  const auto port = static_cast<uint16_t>(std::atoi(argv[2]));
  const int pid = std::atoi(argv[3]);
  const size_t subscribers = static_cast<size_t>(std::atoi(argv[4]));
  const size_t payload_bytes = static_cast<size_t>(std::atoi(argv[5]));
  const double seconds = std::atof(argv[6]);
  const uint64_t window_bytes = argc > 7 ? std::strtoull(argv[7], nullptr, 10) : 1 << 20;
  const Language language = name == "nats" ? Nats(payload_bytes) : Sluice(payload_bytes);

  const int poller = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<int> fds;
  std::vector<uint64_t> received(subscribers);
  for (size_t i = 0; i < subscribers; ++i) {
    fds.push_back(Connect(port));
    Ask(fds[i], language.open, language.open_answer);
    Ask(fds[i], language.subscribe, language.subscribed);
    ::fcntl(fds[i], F_SETFL, O_NONBLOCK);
    epoll_event event = {.events = EPOLLIN, .data = {.u64 = i}};
    ::epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event);
  }
  const int publisher = Connect(port);
  Ask(publisher, language.open, language.open_answer);
  ::fcntl(publisher, F_SETFL, O_NONBLOCK);

  // Sluice names the subscription once, before its first message.
  const uint64_t header_bytes = name == "nats" ? 0 : 5;
  std::string batch;
  const size_t batch_messages = std::max<size_t>(1, (64 << 10) / language.publish.size());
  for (size_t i = 0; i < batch_messages; ++i) batch += language.publish;

  std::vector<char> room(1 << 20);
  uint64_t published_bytes = 0;
  uint64_t slowest = 0;
  const auto read_all = [&](int wait_ms) {
    epoll_event events[256];
    const int count = ::epoll_wait(poller, events, 256, wait_ms);
    for (int e = 0; e < count; ++e) {
      const size_t i = events[e].data.u64;
      const ssize_t got = ::recv(fds[i], room.data(), room.size(), MSG_TRUNC);
      if (got <= 0 && errno != EAGAIN) throw std::runtime_error("the broker cut a subscriber");
      if (got > 0) received[i] += static_cast<uint64_t>(got);
    }
    slowest = *std::min_element(received.begin(), received.end());
  };
  const double cpu_before = CpuSeconds(pid);
  const Clock::time_point began = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - began).count(); };
  size_t offset = 0;
  while (elapsed() < seconds) {
    const uint64_t published = published_bytes / language.publish.size();
    const uint64_t ahead =
        (published - std::min(published, slowest / language.delivered_bytes)) * language.delivered_bytes;
    if (ahead >= window_bytes) {
      read_all(100);
      continue;
    }
    const ssize_t wrote = ::write(publisher, batch.data() + offset, batch.size() - offset);
    if (wrote > 0) {
      published_bytes += static_cast<uint64_t>(wrote);
      offset = (offset + static_cast<size_t>(wrote)) % batch.size();
    }
    read_all(wrote > 0 ? 0 : 100);
  }
  // The message half sent, then everything that is under way.
  while (published_bytes % language.publish.size() != 0) {
    const size_t rest = language.publish.size() - published_bytes % language.publish.size();
    const ssize_t wrote = ::write(publisher, batch.data() + offset, rest);
    if (wrote > 0) {
      published_bytes += static_cast<uint64_t>(wrote);
      offset = (offset + static_cast<size_t>(wrote)) % batch.size();
    }
    read_all(0);
  }
  const uint64_t messages = published_bytes / language.publish.size();
  while (slowest < header_bytes + messages * language.delivered_bytes) {
    read_all(100);
    if (elapsed() > seconds + 20) throw std::runtime_error("messages are missing");
  }
  const double took = elapsed();
  const double cpu = CpuSeconds(pid) - cpu_before;
  const double deliveries = static_cast<double>(messages * subscribers);
  fmt::print(
      "{{\"broker\":\"{}\",\"subscribers\":{},\"payload_bytes\":{},\"deliveries\":{:.0f},\"deliveries_per_"
      "second\":{:.0f},"
      "\"broker_cpu_ns_per_delivery\":{:.1f}}}\n",
      name, subscribers, payload_bytes, deliveries, deliveries / took, cpu / deliveries * 1e9);
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  try {
    return sluice::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "fanout_load: {}\n", error.what());
    return 1;
  }
}
