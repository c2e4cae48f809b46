// A small HTTP/1.1 server that no slow client can hold up: one thread serves all connections without ever
// waiting for one of them, another builds the page that takes longer.
//
//   auto server = HttpServer::Start({"127.0.0.1", 7585}, {}, &pages);
//   if (!server.ok()) ...;                 // "cannot listen on 127.0.0.1:7585: address already in use"
//   fmt::print("port {}\n", (*server)->port());
//
// Answers GET and HEAD and closes the connection; there is no keep-alive, no compression and no TLS. It is
// meant for health checks and scrapes, a few small requests a second. What a client can do:
// - send its request slowly, or nothing: it is cut after request_timeout;
// - not read its answer: cut after response_timeout;
// - come a thousand times: at connections_max the oldest goes that has not sent its request, or else the
//   oldest. A client that sends its request at once is answered before that happens;
// - find the process without descriptors: a spare one is kept, so that one client at a time is still served,
//   and has a tenth of a second for its request while others wait.
//
// Internal to metrics. Thread safety: Start and the destructor from one thread.
#ifndef SLUICE_METRICS_HTTP_SERVER_H_
#define SLUICE_METRICS_HTTP_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/net/address.h"
#include "metrics/http_pages.h"

namespace sluice {

struct HttpServerOptions {
  size_t connections_max = 64;
  // From the connection to the end of the request's head.
  absl::Duration request_timeout = absl::Seconds(1);
  // From the answer to its last byte taken by the kernel.
  absl::Duration response_timeout = absl::Seconds(10);
  // For the client to close after the answer, and at the end for answers that are on their way.
  absl::Duration linger_timeout = absl::Seconds(1);
};

class HttpServer {
 public:
  // `pages` outlives the server. The errors are those of ListenerSocket::Listen, and ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const net::HostPort& where,
                                                           const HttpServerOptions& options,
                                                           HttpPages* pages);

  // Takes no more connections, finishes the answers that are due within linger_timeout, and waits for a
  // SlowPage() in progress.
  ~HttpServer();

  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // The port in use, also when 0 was asked for.
  uint16_t port() const;

 private:
  class Loop;

  HttpServer();

  std::unique_ptr<Loop> loop_;
};

}  // namespace sluice

#endif  // SLUICE_METRICS_HTTP_SERVER_H_
