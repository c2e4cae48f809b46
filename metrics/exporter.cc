#include "metrics/exporter.h"

#include <civetweb.h>
#include <fmt/format.h>
#include <netdb.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <iterator>
#include <mutex>
#include <sstream>
#include <string_view>
#include <utility>

#include "metrics/families.h"
#include "metrics/process.h"

namespace sluice {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr absl::Duration kAskTimeout = absl::Milliseconds(250);
constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";
constexpr const char* kTextContentType = "text/plain; charset=utf-8";

struct HttpAddress {
  sockaddr_storage address{};
  socklen_t address_bytes = 0;
  int family = AF_UNSPEC;
  std::string numeric;  // as civetweb wants it
};

// civetweb's own option knows lists, TLS suffixes and more; only what was resolved and printed here reaches
// it.
absl::StatusOr<HttpAddress> Resolve(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  std::string host = colon == std::string::npos ? "127.0.0.1" : listen.substr(0, colon);
  const std::string port = colon == std::string::npos ? listen : listen.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const bool digits =
      !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoi(port) > 65535 || host.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is not HOST:PORT with a port from 0 to 65535", listen));
  }

  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return absl::InvalidArgumentError(fmt::format("'{}': {}", listen, gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> results(found, &freeaddrinfo);

  HttpAddress address;
  std::memcpy(&address.address, results->ai_addr, results->ai_addrlen);
  address.address_bytes = results->ai_addrlen;
  address.family = results->ai_family;
  std::array<char, NI_MAXHOST> numeric{};
  if (getnameinfo(results->ai_addr, results->ai_addrlen, numeric.data(), numeric.size(), nullptr, 0,
                  NI_NUMERICHOST) != 0) {
    return absl::InvalidArgumentError(fmt::format("'{}' has no numeric address", listen));
  }
  address.numeric = address.family == AF_INET6 ? fmt::format("[{}]:{}", numeric.data(), port)
                                               : fmt::format("{}:{}", numeric.data(), port);
  return address;
}

// civetweb says that it could not start, but not in a form to act on: the errno of a bind of our own does.
absl::Status WhyNotBound(const std::string& listen, const HttpAddress& address, const std::string& told) {
  const int fd = socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int error = fd < 0 ? errno : 0;
  if (fd >= 0) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address.address), address.address_bytes) != 0 ||
        ::listen(fd, 1) != 0) {
      error = errno;
    }
    close(fd);
  }
  const std::string text =
      error != 0 ? fmt::format("cannot listen on {}: {}", listen, std::generic_category().message(error))
                 : fmt::format("cannot listen on {}: {}", listen,
                               told.empty() ? "the HTTP server gave no reason" : told);
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(text);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

struct Response {
  int status = 200;
  std::string body;
  const char* content_type = kTextContentType;
};

const char* ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

Response FromStatus(const absl::Status& status) {
  if (status.ok()) return {200, "ok\n"};
  return {503, fmt::format("{}\n", std::string(status.message()))};
}

}  // namespace

class Exporter::Server {
 public:
  Server(BuildInfo build, SnapshotSource* source) : build_(std::move(build)), source_(source) {}
  ~Server() {
    if (context_ != nullptr) mg_stop(context_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  absl::Status Start(const std::string& listen);
  uint16_t port() const { return port_; }

 private:
  static int OnRequest(mg_connection* connection);
  static int OnLogMessage(const mg_connection* connection, const char* message);

  Response Answer(std::string_view method, std::string_view path);
  std::string MetricsPage();
  SubscriptionDistributions AskOnce();
  ProcessStats ReadProcess();

  // Constant after Start
  const BuildInfo build_;
  SnapshotSource* const source_;
  mg_context* context_ = nullptr;
  uint16_t port_ = 0;

  // What civetweb complained of while it started.
  std::mutex told_mutex_;
  std::string told_;

  std::mutex ask_mutex_;
  SubscriptionDistributions asked_;  // guarded by ask_mutex_, like the next one
  SteadyTime asked_at_;

  std::mutex process_mutex_;
  ProcessReader process_;  // guarded by process_mutex_
};

absl::Status Exporter::Server::Start(const std::string& listen) {
  absl::StatusOr<HttpAddress> address = Resolve(listen);
  if (!address.ok()) return address.status();

  // Eight threads and a second: two threads, the usual number, are held up by two slow clients.
  std::array<const char*, 11> options = {"listening_ports",
                                         address->numeric.c_str(),
                                         "num_threads",
                                         "8",
                                         "request_timeout_ms",
                                         "1000",
                                         "enable_keep_alive",
                                         "no",
                                         "max_request_size",
                                         "4096",
                                         nullptr};
  mg_callbacks callbacks{};
  callbacks.begin_request = &Server::OnRequest;
  callbacks.log_message = &Server::OnLogMessage;
  std::array<char, 256> error_text{};
  unsigned error_code = 0;
  mg_error_data error{&error_code, error_text.data(), error_text.size()};
  mg_init_data init{&callbacks, this, options.data()};
  context_ = mg_start2(&init, &error);
  if (context_ == nullptr) {
    const std::scoped_lock lock(told_mutex_);
    return WhyNotBound(listen, *address, told_.empty() ? std::string(error_text.data()) : told_);
  }
  mg_server_port bound{};
  if (mg_get_server_ports(context_, 1, &bound) != 1)
    return absl::UnavailableError("the HTTP server has no port");
  port_ = static_cast<uint16_t>(bound.port);
  return absl::OkStatus();
}

int Exporter::Server::OnLogMessage(const mg_connection* connection, const char* message) {
  // A client that went away is no news; standard error belongs to the broker's log.
  if (connection != nullptr) {
    auto* server = static_cast<Server*>(mg_get_user_data(mg_get_context(connection)));
    const std::scoped_lock lock(server->told_mutex_);
    server->told_ = message;
  }
  return 1;
}

int Exporter::Server::OnRequest(mg_connection* connection) {
  auto* server = static_cast<Server*>(mg_get_user_data(mg_get_context(connection)));
  const mg_request_info* request = mg_get_request_info(connection);
  Response response;
  try {
    response =
        server->Answer(request->request_method, request->local_uri == nullptr ? "" : request->local_uri);
  } catch (const std::exception& error) {  // out of memory, mostly: this page fails, the broker goes on
    response = {500, fmt::format("{}\n", error.what())};
  }
  const std::string head = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: "
      "close\r\n\r\n",
      response.status, ReasonPhrase(response.status), response.content_type, response.body.size());
  mg_write(connection, head.data(), head.size());
  if (std::strcmp(request->request_method, "HEAD") != 0) {
    mg_write(connection, response.body.data(), response.body.size());
  }
  return response.status;
}

Response Exporter::Server::Answer(std::string_view method, std::string_view path) {
  if (method != "GET" && method != "HEAD") return {405, "only GET and HEAD\n"};
  if (path == "/metrics") return {200, MetricsPage(), kMetricsContentType};
  if (path == "/healthz") return FromStatus(source_->Healthy());
  if (path == "/readyz") return FromStatus(source_->Ready());
  return {404, "not here: try /metrics, /healthz or /readyz\n"};
}

std::string Exporter::Server::MetricsPage() {
  std::vector<prometheus::MetricFamily> families = CounterFamilies(source_->Counters());
  const auto append = [&families](std::vector<prometheus::MetricFamily> more) {
    families.insert(families.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
  };
  append(BrokerFamilies(build_, AskOnce(), source_->RetainedBytes()));
  append(ProcessFamilies(ReadProcess()));
  std::ostringstream page;
  prometheus::TextSerializer().Serialize(page, families);
  return std::move(page).str();
}

// Scrapes that wait for the same question share its answer, so that however many of them come, none waits for
// a stuck shard longer than for two questions.
SubscriptionDistributions Exporter::Server::AskOnce() {
  const SteadyTime arrived_at = std::chrono::steady_clock::now();
  const std::scoped_lock lock(ask_mutex_);
  if (asked_at_ < arrived_at) {
    asked_at_ = std::chrono::steady_clock::now();
    asked_ = source_->AskDistributions(kAskTimeout);
  }
  return asked_;
}

ProcessStats Exporter::Server::ReadProcess() {
  const std::scoped_lock lock(process_mutex_);
  return process_.Read();
}

absl::StatusOr<std::unique_ptr<Exporter>> Exporter::Start(const std::string& listen, BuildInfo build,
                                                          SnapshotSource* source) {
  auto server = std::make_unique<Server>(std::move(build), source);
  absl::Status started = server->Start(listen);
  if (!started.ok()) return started;
  return std::unique_ptr<Exporter>(new Exporter(std::move(server)));
}

Exporter::Exporter(std::unique_ptr<Server> server) : server_(std::move(server)) {}

Exporter::~Exporter() = default;

uint16_t Exporter::port() const { return server_->port(); }

}  // namespace sluice
