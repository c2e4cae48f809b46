// Topics and topic filters.
//
// A topic is what a message is published to: tokens joined by '.', such as "ticks.nyse.IBM". At most
// kTopicBytesMax bytes and kTopicTokensMax tokens, valid UTF-8, no empty token, no wildcard, no control
// character, no space.
//
// A filter is what a subscription asks for: a topic in which the token "*" stands for exactly one token and a
// last token ">" for one or more:
//
//   ticks.*.IBM   matches ticks.nyse.IBM            not ticks.IBM, not ticks.nyse.IBM.bid
//   ticks.>       matches ticks.nyse, ticks.a.b     not ticks
//
// Topics whose first token begins with '$' belong to the broker; a filter that begins with a wildcard does
// not match them.
//
// Thread safety: pure functions.
#ifndef SLUICE_PROTOCOL_TOPIC_H_
#define SLUICE_PROTOCOL_TOPIC_H_

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"

namespace sluice {

inline constexpr size_t kTopicBytesMax = 255;
inline constexpr size_t kTopicTokensMax = 32;

inline constexpr std::string_view kAnyToken = "*";
inline constexpr std::string_view kAnyTail = ">";

// The fast check of the data path. ValidateTopic says what is wrong.
[[nodiscard]] bool IsValidTopic(std::string_view topic);

// OK, or InvalidArgument with a text for people that names the rule, the place and the offending value
// (escaped).
// `bytes_max`: what a broker allows, at most kTopicBytesMax.
absl::Status ValidateTopic(std::string_view topic, size_t bytes_max = kTopicBytesMax);
absl::Status ValidateFilter(std::string_view filter, size_t bytes_max = kTopicBytesMax);

// Whether a valid filter has a wildcard token.
bool HasWildcard(std::string_view filter);

// Whether a topic (or filter) lies in the broker's own space.
inline bool IsReserved(std::string_view topic) { return !topic.empty() && topic[0] == '$'; }

// Whether a valid filter matches a valid topic, token by token. The broker matches through an index; this is
// the plain form, for clients and as the reference of the tests.
bool FilterMatches(std::string_view filter, std::string_view topic);

// Whether every topic that the valid filter `narrow` matches is matched by the valid filter `wide`.
bool FilterCovers(std::string_view wide, std::string_view narrow);

// The first token of `rest`; `rest` becomes what stands behind its dot, with data() == nullptr after the
// last.
std::string_view NextToken(std::string_view* rest);

// Valid UTF-8 (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF).
bool IsValidUtf8(std::string_view text);

}  // namespace sluice

#endif  // SLUICE_PROTOCOL_TOPIC_H_
