// Two ends of a real TCP connection over loopback, both non-blocking.
//
//   SocketPair pair = ConnectedTcpPair({.client_receive_buffer_bytes = 4096});
//   pair.server.Write(...);  // blocks (kWouldBlock) soon, since the client reads nothing
//
// Everything that fails throws std::runtime_error: on loopback nothing should, and a test can only end.
#ifndef SLUICE_TESTS_SUPPORT_SOCKET_PAIR_H_
#define SLUICE_TESTS_SUPPORT_SOCKET_PAIR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/net/socket.h"

namespace sluice::testing {

// 0 leaves a buffer to the kernel's own tuning. They are set before the handshake, so that the window that is
// advertised is small from the first byte on.
struct SocketPairOptions {
  uint32_t server_receive_buffer_bytes = 0;
  uint32_t server_send_buffer_bytes = 0;
  uint32_t client_receive_buffer_bytes = 0;
  uint32_t client_send_buffer_bytes = 0;
};

struct SocketPair {
  net::Socket server;  // was accepted
  net::Socket client;  // has connected
};

SocketPair ConnectedTcpPair(const SocketPairOptions& options = {});

// A socket that has connected to `host`:`port`.
net::Socket ConnectTo(uint16_t port, const SocketPairOptions& options = {}, const char* host = "127.0.0.1");

// Blocks until `socket` has something to read (bytes, EOF, an error), or room to write. False after two minutes.
enum class Readiness { kReadable, kWritable };
[[nodiscard]] bool WaitUntilReady(const net::Socket& socket, Readiness readiness);

// Reads until `bytes` have arrived, or EOF, a failure or silence (two minutes) comes first, and returns what
// arrived.
std::string ReadBytes(net::Socket& socket, size_t bytes);

// Like ReadBytes, up to EOF.
std::string ReadUntilEof(net::Socket& socket);

// Writes all of `bytes`; the kernel must have room for them.
void WriteBytes(net::Socket& socket, std::string_view bytes);

// Writes until the kernel takes no more, and returns how much it took.
size_t WriteUntilFull(net::Socket& socket);

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_SOCKET_PAIR_H_
