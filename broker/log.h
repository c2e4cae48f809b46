// The broker's log: one line per event on standard error, with the facts as fields instead of in the prose,
// as text or as JSON.
//
//   std::unique_ptr<Logger> log = Logger::ToStderr(LogLevel::kInfo, LogFormat::kText);
//   log->Write(LogLevel::kWarn, "slow consumer disconnected",
//              {{"client", name}, {"reason", ReasonName(reason)}, {"pending_bytes", pending}, {"after",
//              age}});
//
//   2026-11-24T05:00:00.123Z warn  slow consumer disconnected client=dash-7 reason=pending_age ...
//   {"time":"2026-11-24T05:00:00.123Z","level":"warn","message":"slow consumer
//   disconnected","client":"dash-7",...}
//
// What came from outside goes into a field, never into the message: fields are made printable, so that no
// client can forge a line or write to a terminal. There is no global logger: whoever logs was given one.
//
// Thread safety: any thread. A line is written by the calling thread, whole, before Write returns; if
// standard error is a full pipe, it waits for the reader.
#ifndef SLUICE_BROKER_LOG_H_
#define SLUICE_BROKER_LOG_H_

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace spdlog {
class logger;
}

namespace sluice {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError };
enum class LogFormat { kText, kJson };

// One fact: a key of lower case letters and underscores, and a value. Texts longer than 512 bytes are cut;
// durations are written as "1.5s" in text and as seconds in JSON; what is infinite or no number is null
// there.
class LogField {
 public:
  LogField(std::string_view key, std::string_view text);
  LogField(std::string_view key, const char* text) : LogField(key, std::string_view(text)) {}
  LogField(std::string_view key, const std::string& text) : LogField(key, std::string_view(text)) {}
  LogField(std::string_view key, absl::Duration duration);
  LogField(std::string_view key, double number);
  // Only a bool: a pointer that turns into one is a mistake.
  template <std::same_as<bool> Bool>
  LogField(std::string_view key, Bool yes)
      : key_(key), kind_(Kind::kLiteral), text_(yes ? "true" : "false") {}
  template <std::integral Number>
  requires(!std::same_as<Number, bool>) LogField(std::string_view key, Number number)
      : key_(key), kind_(Kind::kLiteral), text_(std::to_string(number)) {}

  void AppendText(std::string* line) const;  // " key=value", the value in quotes where it needs them
  void AppendJson(std::string* line) const;  // ,"key":value

 private:
  enum class Kind { kString, kLiteral, kNotFinite, kDuration };

  std::string_view key_;
  Kind kind_;
  std::string text_;
  double seconds_ = 0;
};

class Logger {
 public:
  static std::unique_ptr<Logger> ToStderr(LogLevel level, LogFormat format);
  // `out` must outlive the logger.
  static std::unique_ptr<Logger> ToStream(std::ostream* out, LogLevel level, LogFormat format);
  ~Logger();

  // Whether a line of this level would be written: ask before building costly fields.
  bool Enabled(LogLevel level) const;
  // From now on.
  void SetLevel(LogLevel level);

  void Write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

  void Trace(std::string_view message, std::initializer_list<LogField> fields = {});
  void Debug(std::string_view message, std::initializer_list<LogField> fields = {});
  void Info(std::string_view message, std::initializer_list<LogField> fields = {});
  void Warn(std::string_view message, std::initializer_list<LogField> fields = {});
  void Error(std::string_view message, std::initializer_list<LogField> fields = {});

 private:
  Logger(std::shared_ptr<spdlog::logger> logger, LogLevel level, LogFormat format);

  const std::shared_ptr<spdlog::logger> logger_;
  std::atomic<LogLevel> level_;
  const LogFormat format_;
};

// Keeps one kind of line from flooding the log: lets `burst` of them through at once and then so many per
// second, and counts the others.
//
//   if (std::optional<uint64_t> suppressed = refused_lines.Admit(now)) {
//     log->Warn("connection refused", {{"limit", max}, {"suppressed", *suppressed}});
//   }
//
// Thread safety: none; one per shard and kind of line.
class RateLimit {
 public:
  explicit RateLimit(double lines_per_second, double burst = 10);

  // The number of lines kept back since the last one that was let through, or nothing if this one is kept
  // back too. `now` is monotonic time.
  std::optional<uint64_t> Admit(absl::Time now);

 private:
  const double lines_per_second_;
  const double burst_;
  double allowed_;
  absl::Time refilled_at_ = absl::InfinitePast();
  uint64_t suppressed_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_LOG_H_
