#include "tests/support/http_client.h"

#include <fmt/format.h>

#include <cctype>
#include <stdexcept>

#include "tests/support/socket_pair.h"

namespace sluice::testing {
namespace {

std::string TakeLine(std::string_view* text) {
  const size_t end = text->find("\r\n");
  if (end == std::string_view::npos) throw std::runtime_error("the head has no end: " + std::string(*text));
  std::string line(text->substr(0, end));
  text->remove_prefix(end + 2);
  return line;
}

}  // namespace

HttpReply ParseHttpReply(std::string_view text, HttpBody body) {
  HttpReply reply;
  const std::string status = TakeLine(&text);
  if (!status.starts_with("HTTP/1.1 ") || status.size() < 14) throw std::runtime_error("not HTTP: " + status);
  reply.status = std::stoi(status.substr(9, 3));
  reply.reason = status.substr(13);
  for (std::string line = TakeLine(&text); !line.empty(); line = TakeLine(&text)) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) throw std::runtime_error("not a field: " + line);
    std::string name = line.substr(0, colon);
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (!reply.fields.emplace(name, line.substr(colon + 2)).second)
      throw std::runtime_error("twice: " + line);
  }
  reply.body = std::string(text);
  const size_t expected = body == HttpBody::kNone ? 0 : std::stoull(reply.fields.at("content-length"));
  if (reply.body.size() != expected) {
    throw std::runtime_error(fmt::format("{} bytes of body instead of {}", reply.body.size(), expected));
  }
  return reply;
}

HttpReply HttpAsk(uint16_t port, std::string_view request) {
  net::Socket socket = ConnectTo(port);
  WriteBytes(socket, request);
  return ParseHttpReply(ReadUntilEof(socket),
                        request.starts_with("HEAD ") ? HttpBody::kNone : HttpBody::kExpected);
}

HttpReply HttpGet(uint16_t port, std::string_view path) {
  return HttpAsk(
      port, fmt::format("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", path, port));
}

}  // namespace sluice::testing
