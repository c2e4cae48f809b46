// A line of the broker's log, taken apart.
//
//   ParseLogLine("2026-11-24T09:46:08.444Z debug write blocked: EPOLLOUT armed client=dash-7
//   pending_bytes=9000") → message "write blocked: EPOLLOUT armed", Field("client") "dash-7",
//   Number("pending_bytes") 9000
//
// Thread safety: pure functions and plain data.
#ifndef SLUICE_CLIENT_CLI_BROKER_LOG_H_
#define SLUICE_CLIENT_CLI_BROKER_LOG_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace sluice::cli {

struct LogLine {
  // As it was written.
  std::string text;
  std::string level;
  std::string message;
  std::map<std::string, std::string, std::less<>> fields;

  // Empty, 0: there is none.
  std::string_view Field(std::string_view key) const;
  // The number at the head of a field: 5 for "5%".
  uint64_t Number(std::string_view key) const;
};

// A line of another shape (from a library, a sanitizer) becomes a message without fields.
LogLine ParseLogLine(std::string_view text);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_BROKER_LOG_H_
