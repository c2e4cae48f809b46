#include "broker/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "broker/net/address.h"
#include "protocol/control.h"
#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

constexpr uint64_t kKiB = uint64_t{1} << 10;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

constexpr uint64_t kSecond = 1000;
constexpr uint64_t kMinute = 60 * kSecond;
constexpr uint64_t kHour = 60 * kMinute;

// A path cannot be longer (PATH_MAX), a host's name is shorter.
constexpr size_t kTextBytesMax = 4095;

using K = SettingKind;
using C = Config;

constexpr Setting kSettings[] = {
    {"listen", "", "listen", K::kAddress, &C::listen, "where clients connect; port 0 lets the system choose"},
    {"http", "", "http", K::kAddressOrOff, &C::http,
     "where the status page, /metrics, /api/, /healthz and /readyz are served; 'off': nowhere"},
    {"http-token-file", "", "http_token_file", K::kPath, &C::http_token_file,
     "file whose first line is the token that DELETE /api/consumers/ID and POST /api/drain must show; empty: "
     "nobody "
     "may do that over HTTP"},
    {"dashboard-url", "", "dashboard_url", K::kUrl, &C::dashboard_url,
     "where the dashboards are, for the link on the status page; empty: no link"},
    {"top-consumers", "", "top_consumers", K::kCount, &C::top_consumers,
     "consumers that /metrics shows by name: those with the most pending bytes", 1, 100, "none"},
    {"ports-file", "", "ports_file", K::kPath, &C::ports_file,
     "write the addresses in use to this file once the broker is ready, as lines 'listen=HOST:PORT' and "
     "'http=HOST:PORT'; empty: no file"},
    {"shards", "", "shards", K::kCount, &C::shards, "threads that each serve a share of the clients", 1, 64},
    {"sys-topics", "", "sys_topics", K::kSysTopics, &C::sys_topics,
     "who may subscribe to the events about slow consumers ($sys.consumer.slow, .recovered, .disconnected): "
     "clients that connect over the loopback interface, everyone, or nobody"},

    {"log-level", "log", "level", K::kLogLevel, &C::log_level,
     "the least that is logged; debug shows every blocked write"},
    {"log-format", "log", "format", K::kLogFormat, &C::log_format, "text, or one JSON object per line"},

    {"max-message", "limits", "max_message", K::kBytes, &C::payload_bytes_max, "largest payload of a message",
     kKiB, 64 * kMiB},
    {"max-headers", "limits", "max_headers", K::kBytes, &C::headers_bytes_max,
     "names and values of all headers of a message together", kKiB, kMiB},
    {"max-topic", "limits", "max_topic", K::kBytes, &C::topic_bytes_max,
     "longest topic, filter, reply topic and queue group name", 64, kTopicBytesMax},
    {"max-connect", "limits", "max_connect", K::kBytes, &C::connect_frame_bytes_max,
     "largest frame of a client that is not connected yet", kKiB, kControlBodyBytesMax},
    {"connections-max", "limits", "connections_max", K::kCount, &C::connections_max,
     "connections at a time; more are told so and closed", 1, 1'000'000},
    {"subscriptions-per-session-max", "limits", "subscriptions_per_session_max", K::kCount,
     &C::subscriptions_per_session_max, "subscriptions of one client", 1, kSubscriptionsPerSessionCeiling},
    {"pending-bytes-max", "limits", "pending_bytes_max", K::kBytes, &C::pending_bytes_max,
     "bytes that may wait for one subscription; at least twice the largest message (the default rises with "
     "it)",
     64 * kKiB, 16 * kGiB, "no limit"},
    {"pending-messages-max", "limits", "pending_messages_max", K::kCount, &C::pending_messages_max,
     "messages that may wait for one subscription", 1, 1'000'000'000, "no limit"},
    {"pending-age-max", "limits", "pending_age_max", K::kDuration, &C::pending_age_max,
     "time that a message may wait for one subscription", 100, 24 * kHour, "no limit"},
    {"pending-bytes-soft", "limits", "pending_bytes_soft", K::kBytes, &C::pending_bytes_soft,
     "soft limit of the bytes that wait for one subscription: above it for soft-time without interruption is "
     "over the limit",
     kKiB, 16 * kGiB, "none"},
    {"pending-messages-soft", "limits", "pending_messages_soft", K::kCount, &C::pending_messages_soft,
     "soft limit of the messages that wait for one subscription", 1, 1'000'000'000, "none"},
    {"pending-age-soft", "limits", "pending_age_soft", K::kDuration, &C::pending_age_soft,
     "soft limit of the time that a message waits for one subscription", 100, 24 * kHour, "none"},
    {"soft-time", "limits", "soft_time", K::kDuration, &C::soft_time,
     "how long a subscription may be above a soft limit, its own ones included where it asks for no time",
     100, 24 * kHour},
    {"on-overflow", "limits", "on_overflow", K::kOnOverflow, &C::on_overflow,
     "what a subscription over its limits gets: act is what its policy does, observe is a count, a line in "
     "the "
     "log and nothing else; session-bytes-max and write-timeout hold all the same"},
    {"session-bytes-max", "limits", "session_bytes_max", K::kBytes, &C::session_bytes_max,
     "bytes that may wait for all subscriptions of one client; at least pending-bytes-max (the default rises "
     "with "
     "it)",
     64 * kKiB, 64 * kGiB, "no limit"},
    {"control-bytes-max", "limits", "control_bytes_max", K::kBytes, &C::control_bytes_max,
     "answers that may wait for a client that asks and does not read", 16 * kKiB, 64 * kMiB},
    {"memory-budget", "limits", "memory_budget", K::kBytes, &C::memory_budget_bytes,
     "memory for messages, however many queues they wait in; over it the queues that keep the most alive are "
     "shed (by their overflow policy, and cut at the last), then publishers wait",
     16 * kMiB, 1024 * kGiB, "half of the machine's or the cgroup's memory"},

    {"connect-timeout", "timeouts", "connect_timeout", K::kDuration, &C::connect_timeout,
     "a connection must say Connect within this time", 100, 10 * kMinute},
    {"frame-timeout", "timeouts", "frame_timeout", K::kDuration, &C::frame_timeout,
     "a frame that was begun must make progress within this time", 100, kHour},
    {"write-timeout", "timeouts", "write_timeout", K::kDuration, &C::write_timeout,
     "a blocked client that takes and acknowledges no byte for so long is cut", 100, kHour, "never"},
    {"block-timeout", "timeouts", "block_timeout", K::kDuration, &C::block_timeout,
     "a client whose subscription (overflow policy block) has held publishers up for so long is cut", 100,
     kHour},
    {"ping-interval", "timeouts", "ping_interval", K::kDuration, &C::ping_interval,
     "a client that is silent for so long is pinged, and cut after as long again", 100, kHour, "no pings"},
    {"goodbye-timeout", "timeouts", "goodbye_timeout", K::kDuration, &C::goodbye_timeout,
     "time to tell a client why its session ends, and to let it read that", 10, kMinute, "do not wait"},
    {"drain-timeout", "timeouts", "drain_timeout", K::kDuration, &C::drain_timeout,
     "time to deliver what is queued when the broker is told to stop", 10, kHour, "do not wait"},
    {"retry-after", "timeouts", "retry_after", K::kDuration, &C::retry_after,
     "how long a client that was cut for being slow is asked to stay away; doubles each time in a row", 10,
     10 * kMinute, "come back at once"},
    {"reconnect-spread", "timeouts", "reconnect_spread", K::kDuration, &C::reconnect_spread,
     "when the broker goes down, its clients are asked to connect again, here or elsewhere, spread over so "
     "long",
     10, 10 * kMinute, "all at once"},

    {"notsent-lowat", "tuning", "notsent_lowat", K::kBytes, &C::notsent_lowat_bytes,
     "unsent bytes per client that the kernel takes (TCP_NOTSENT_LOWAT): what it holds is hidden from the "
     "limits",
     16 * kKiB, 64 * kMiB, "the kernel's default"},
    {"send-buffer", "tuning", "send_buffer", K::kBytes, &C::send_buffer_bytes,
     "fixed send buffer per client (SO_SNDBUF); caps the rate of a client at its size per round trip",
     64 * kKiB, 64 * kMiB, "the kernel tunes it",
     "a smaller one makes each write wait for a delayed acknowledgement and is 20 to 100 times slower"},
    {"chunk-bytes", "tuning", "chunk_bytes", K::kBytes, &C::chunk_bytes,
     "unit in which messages are kept in memory", 128 * kKiB, 4 * kMiB},
    {"match-cache-topics", "tuning", "match_cache_topics", K::kCount, &C::match_cache_topics,
     "topics per shard whose subscriptions are remembered", 16, 16'777'216},
};

constexpr std::array<std::pair<std::string_view, LogLevel>, 5> kLevels = {{{"trace", LogLevel::kTrace},
                                                                           {"debug", LogLevel::kDebug},
                                                                           {"info", LogLevel::kInfo},
                                                                           {"warn", LogLevel::kWarn},
                                                                           {"error", LogLevel::kError}}};
constexpr std::array<std::pair<std::string_view, LogFormat>, 2> kFormats = {
    {{"text", LogFormat::kText}, {"json", LogFormat::kJson}}};

constexpr std::array<std::pair<std::string_view, uint64_t>, 7> kUnits = {{{"GiB", kGiB},
                                                                          {"MiB", kMiB},
                                                                          {"KiB", kKiB},
                                                                          {"GB", 1'000'000'000},
                                                                          {"MB", 1'000'000},
                                                                          {"kB", 1'000},
                                                                          {"B", 1}}};

constexpr std::array<std::pair<std::string_view, OnOverflow>, 2> kOnOverflows = {
    {{"act", OnOverflow::kAct}, {"observe", OnOverflow::kObserve}}};

constexpr std::array<std::pair<std::string_view, SysTopics>, 3> kSysTopics = {
    {{"loopback", SysTopics::kLoopback}, {"everyone", SysTopics::kEveryone}, {"nobody", SysTopics::kNobody}}};

// More than any setting allows, for numbers that do not fit.
constexpr uint64_t kTooMany = UINT64_MAX;

std::optional<uint64_t> ReadNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end != text.data() + text.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return kTooMany;
  if (error != std::errc()) return std::nullopt;
  return number;
}

std::optional<uint64_t> ReadBytes(std::string_view text) {
  for (const auto& [unit, bytes] : kUnits) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(unit.size());
    while (text.ends_with(' ')) text.remove_suffix(1);
    const std::optional<uint64_t> number = ReadNumber(text);
    if (number.has_value() && *number > kTooMany / bytes) return kTooMany;
    return number.has_value() ? std::optional(*number * bytes) : std::nullopt;
  }
  return ReadNumber(text);
}

std::optional<absl::Duration> ReadDuration(std::string_view text) {
  absl::Duration duration;
  if (!absl::ParseDuration(std::string(text), &duration)) return std::nullopt;
  return duration;
}

template <typename Value, size_t size>
std::string Names(const std::array<std::pair<std::string_view, Value>, size>& names) {
  std::string list;
  for (const auto& [name, value] : names)
    fmt::format_to(std::back_inserter(list), "{}{}", list.empty() ? "" : ", ", name);
  return list;
}

template <typename Value, size_t size>
std::optional<Value> ByName(const std::array<std::pair<std::string_view, Value>, size>& names,
                            std::string_view text) {
  for (const auto& [name, value] : names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

template <typename Value, size_t size>
std::string NameOf(const std::array<std::pair<std::string_view, Value>, size>& names, Value wanted) {
  for (const auto& [name, value] : names) {
    if (value == wanted) return std::string(name);
  }
  return "?";
}

absl::Status Refuse(const Setting& setting, std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      fmt::format("'{}' {}; allowed: {}", Printable(text), why, setting.Allowed()));
}

absl::Status InRange(const Setting& setting, std::string_view text, bool is_zero, bool below, bool above) {
  if (is_zero && !setting.zero_means.empty()) return absl::OkStatus();
  if (below) {
    return Refuse(
        setting, text,
        setting.why_min.empty() ? "is too small" : fmt::format("is too small: {}", setting.why_min));
  }
  if (above) return Refuse(setting, text, "is too large");
  return absl::OkStatus();
}

absl::Status AssignNumber(const Setting& setting, std::string_view text, uint64_t* member) {
  const auto read = [&](std::string_view digits) {
    return setting.kind == K::kBytes ? ReadBytes(digits) : ReadNumber(digits);
  };
  const std::optional<uint64_t> number = read(text);
  if (!number.has_value()) {
    if (text.starts_with('-') && read(text.substr(1)).has_value())
      return Refuse(setting, text, "is too small");
    return Refuse(setting, text,
                  setting.kind == K::kBytes ? "is not a size like 8MiB" : "is not a whole number");
  }
  absl::Status status = InRange(setting, text, *number == 0, *number<setting.min, *number> setting.max);
  if (status.ok()) *member = *number;
  return status;
}

absl::Status AssignDuration(const Setting& setting, std::string_view text, absl::Duration* member) {
  const std::optional<absl::Duration> duration = ReadDuration(text);
  if (!duration.has_value()) return Refuse(setting, text, "is not a duration like 10s or 500ms");
  absl::Status status =
      InRange(setting, text, *duration == absl::ZeroDuration(),
              *duration<absl::Milliseconds(setting.min), *duration> absl::Milliseconds(setting.max));
  if (status.ok()) *member = *duration;
  return status;
}

absl::Status CheckAddress(const Setting& setting, std::string_view text) {
  const bool may_be_off = setting.kind == K::kAddressOrOff;
  if (may_be_off && text == Config::kOff) return absl::OkStatus();
  const absl::StatusOr<net::HostPort> address = net::HostPort::Parse(text);
  if (address.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}{}", std::string(address.status().message()), may_be_off ? "; or off" : ""));
}

absl::Status AssignText(const Setting& setting, std::string_view text, std::string* member) {
  if (text.size() > kTextBytesMax) return Refuse(setting, text, "is too long");
  if (text.find('\0') != std::string_view::npos) return Refuse(setting, text, "holds a zero byte");
  // The file, in which --print-config shows it, can say nothing else.
  if (!IsValidUtf8(text)) return Refuse(setting, text, "is not valid UTF-8");
  if (setting.kind == K::kUrl) {
    if (!text.empty() && !text.starts_with("http://") && !text.starts_with("https://")) {
      return Refuse(setting, text, "is no such address");
    }
  } else if (setting.kind != K::kPath) {
    absl::Status status = CheckAddress(setting, text);
    if (!status.ok()) return status;
  }
  *member = std::string(text);
  return absl::OkStatus();
}

template <typename Value, size_t size>
absl::Status AssignName(const Setting& setting,
                        const std::array<std::pair<std::string_view, Value>, size>& names,
                        std::string_view text, Value* member) {
  const std::optional<Value> value = ByName(names, text);
  if (!value.has_value()) return Refuse(setting, text, "is none of them");
  *member = *value;
  return absl::OkStatus();
}

}  // namespace

std::string Setting::Path() const {
  return section.empty() ? std::string(key) : fmt::format("{}.{}", section, key);
}

std::string_view Setting::ValueName() const {
  switch (kind) {
    case K::kAddress:
    case K::kAddressOrOff:
      return "HOST:PORT";
    case K::kPath:
      return "FILE";
    case K::kUrl:
      return "URL";
    case K::kCount:
      return "N";
    case K::kBytes:
      return "SIZE";
    case K::kDuration:
      return "DURATION";
    case K::kLogLevel:
      return "LEVEL";
    case K::kLogFormat:
      return "FORMAT";
    case K::kOnOverflow:
      return "ACTION";
    case K::kSysTopics:
      return "WHO";
  }
  return "VALUE";
}

std::string Setting::Allowed() const {
  switch (kind) {
    case K::kAddress:
      return "HOST:PORT";
    case K::kAddressOrOff:
      return "HOST:PORT or off";
    case K::kPath:
      return "a path";
    case K::kUrl:
      return "http://... or https://...";
    case K::kLogLevel:
      return Names(kLevels);
    case K::kLogFormat:
      return Names(kFormats);
    case K::kOnOverflow:
      return Names(kOnOverflows);
    case K::kSysTopics:
      return Names(kSysTopics);
    case K::kCount:
    case K::kBytes:
    case K::kDuration:
      break;
  }
  std::string range = fmt::format("{} to {}", ShowBound(*this, min), ShowBound(*this, max));
  if (!zero_means.empty()) range += fmt::format(", or 0 ({})", zero_means);
  return range;
}

std::span<const Setting> Settings() { return kSettings; }

bool CanChangeAtRunTime(const Setting& setting) {
  if (setting.section == "timeouts") return true;
  if (setting.section == "limits") return setting.key != "connections_max" && setting.key != "memory_budget";
  return setting.Path() == "log.level" || setting.Path() == "sys_topics";
}

const Setting* FindSetting(std::string_view path) {
  const auto found = std::find_if(std::begin(kSettings), std::end(kSettings),
                                  [&](const auto& s) { return s.Path() == path; });
  return found == std::end(kSettings) ? nullptr : found;
}

absl::Status Assign(const Setting& setting, std::string_view text, Config* config) {
  return std::visit(
      [&](auto member) -> absl::Status {
        auto* value = &(config->*member);
        using Value = std::remove_pointer_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, std::string>) {
          return AssignText(setting, text, value);
        } else if constexpr (std::is_same_v<Value, uint64_t>) {
          return AssignNumber(setting, text, value);
        } else if constexpr (std::is_same_v<Value, absl::Duration>) {
          return AssignDuration(setting, text, value);
        } else if constexpr (std::is_same_v<Value, LogLevel>) {
          return AssignName(setting, kLevels, text, value);
        } else if constexpr (std::is_same_v<Value, OnOverflow>) {
          return AssignName(setting, kOnOverflows, text, value);
        } else if constexpr (std::is_same_v<Value, SysTopics>) {
          return AssignName(setting, kSysTopics, text, value);
        } else {
          return AssignName(setting, kFormats, text, value);
        }
      },
      setting.member);
}

std::string Show(const Setting& setting, const Config& config) {
  return std::visit(
      [&](auto member) -> std::string {
        const auto& value = config.*member;
        using Value = std::remove_cvref_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, std::string>) {
          return value;
        } else if constexpr (std::is_same_v<Value, uint64_t>) {
          return setting.kind == K::kBytes ? ShowBytes(value) : std::to_string(value);
        } else if constexpr (std::is_same_v<Value, absl::Duration>) {
          return ShowDuration(value);
        } else if constexpr (std::is_same_v<Value, LogLevel>) {
          return NameOf(kLevels, value);
        } else if constexpr (std::is_same_v<Value, OnOverflow>) {
          return NameOf(kOnOverflows, value);
        } else if constexpr (std::is_same_v<Value, SysTopics>) {
          return NameOf(kSysTopics, value);
        } else {
          return NameOf(kFormats, value);
        }
      },
      setting.member);
}

std::string ShowBound(const Setting& setting, uint64_t bound) {
  switch (setting.kind) {
    case K::kBytes:
      return ShowBytes(bound);
    case K::kDuration:
      return ShowDuration(absl::Milliseconds(bound));
    default:
      return std::to_string(bound);
  }
}

std::string ShowBytes(uint64_t bytes) {
  for (const auto& [unit, size] : {std::pair("GiB", kGiB), std::pair("MiB", kMiB), std::pair("KiB", kKiB)}) {
    if (bytes != 0 && bytes % size == 0) return fmt::format("{}{}", bytes / size, unit);
  }
  return std::to_string(bytes);
}

std::string ShowDuration(absl::Duration duration) {
  if (duration == absl::ZeroDuration()) return "0";
  const int64_t seconds = absl::ToInt64Seconds(duration);
  if (duration != absl::Seconds(seconds)) return absl::FormatDuration(duration);
  if (seconds % 3600 == 0) return fmt::format("{}h", seconds / 3600);
  if (seconds % 60 == 0 && seconds > 60) return fmt::format("{}m", seconds / 60);
  return fmt::format("{}s", seconds);
}

}  // namespace sluice
