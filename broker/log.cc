#include "broker/log.h"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/time/time.h"
#include "protocol/names.h"

namespace sluice {
namespace {

constexpr size_t kFieldBytesMax = 512;
constexpr size_t kMessageBytesMax = 1024;

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  constexpr std::array kLevels = {spdlog::level::trace, spdlog::level::debug, spdlog::level::info,
                                  spdlog::level::warn, spdlog::level::err};
  return kLevels[static_cast<size_t>(level)];
}

std::string_view LevelName(LogLevel level) {
  constexpr std::array<std::string_view, 5> kNames = {"trace", "debug", "info", "warn", "error"};
  return kNames[static_cast<size_t>(level)];
}

// JSON has no word for a number that is none.
std::string JsonNumber(double number) {
  return std::isfinite(number) ? fmt::format("{:.9g}", number) : "null";
}

// Messages are ours, and quotes in them should stay legible; one that something from outside got into all the
// same is escaped like a field.
std::string OneLine(std::string_view message) {
  const bool plain =
      std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c < '\x7f'; });
  return plain ? std::string(message) : Printable(message, kMessageBytesMax);
}

// `text` is printable already, so that only these two can upset a JSON reader.
void AppendJsonString(std::string_view text, std::string* line) {
  line->push_back('"');
  for (char c : text) {
    if (c == '"' || c == '\\') line->push_back('\\');
    line->push_back(c);
  }
  line->push_back('"');
}

std::shared_ptr<spdlog::logger> MakeLogger(spdlog::sink_ptr sink, LogLevel level, LogFormat format) {
  // The time is spdlog's; level and the rest come with the line, which is formatted for both kinds by us.
  const char* pattern =
      format == LogFormat::kText ? "%Y-%m-%dT%H:%M:%S.%eZ %v" : "{\"time\":\"%Y-%m-%dT%H:%M:%S.%eZ\",%v}";
  auto logger = std::make_shared<spdlog::logger>("sluiced", std::move(sink));
  logger->set_formatter(
      std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc, "\n"));
  logger->set_level(SpdlogLevel(level));
  logger->flush_on(spdlog::level::trace);
  return logger;
}

}  // namespace

LogField::LogField(std::string_view key, std::string_view text)
    : key_(key), kind_(Kind::kString), text_(Printable(text, kFieldBytesMax)) {}

LogField::LogField(std::string_view key, absl::Duration duration)
    : key_(key),
      kind_(Kind::kDuration),
      text_(absl::FormatDuration(duration)),
      seconds_(absl::ToDoubleSeconds(duration)) {}

LogField::LogField(std::string_view key, double number)
    : key_(key),
      kind_(std::isfinite(number) ? Kind::kLiteral : Kind::kNotFinite),
      text_(fmt::format("{:.6g}", number)) {}

void LogField::AppendText(std::string* line) const {
  line->push_back(' ');
  line->append(key_);
  line->push_back('=');
  const bool quoted =
      kind_ == Kind::kString && (text_.empty() || text_.find_first_of(" =") != std::string::npos);
  if (quoted) line->push_back('"');
  line->append(text_);
  if (quoted) line->push_back('"');
}

void LogField::AppendJson(std::string* line) const {
  line->push_back(',');
  AppendJsonString(key_, line);
  line->push_back(':');
  switch (kind_) {
    case Kind::kString:
      AppendJsonString(text_, line);
      break;
    case Kind::kLiteral:
      line->append(text_);
      break;
    case Kind::kNotFinite:
      line->append("null");
      break;
    case Kind::kDuration:
      line->append(JsonNumber(seconds_));
      break;
  }
}

Logger::Logger(std::shared_ptr<spdlog::logger> logger, LogLevel level, LogFormat format)
    : logger_(std::move(logger)), level_(level), format_(format) {}

Logger::~Logger() = default;

std::unique_ptr<Logger> Logger::ToStderr(LogLevel level, LogFormat format) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  return std::unique_ptr<Logger>(new Logger(MakeLogger(std::move(sink), level, format), level, format));
}

std::unique_ptr<Logger> Logger::ToStream(std::ostream* out, LogLevel level, LogFormat format) {
  auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(*out);
  return std::unique_ptr<Logger>(new Logger(MakeLogger(std::move(sink), level, format), level, format));
}

bool Logger::Enabled(LogLevel level) const { return level >= level_.load(std::memory_order_relaxed); }

void Logger::SetLevel(LogLevel level) {
  logger_->set_level(SpdlogLevel(level));
  level_.store(level, std::memory_order_relaxed);
}

void Logger::Write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!Enabled(level)) return;
  std::string line;
  if (format_ == LogFormat::kText) {
    line = fmt::format("{:<5} {}", LevelName(level), OneLine(message));
    for (const LogField& field : fields) field.AppendText(&line);
  } else {
    line = fmt::format("\"level\":\"{}\",\"message\":", LevelName(level));
    AppendJsonString(OneLine(message), &line);
    for (const LogField& field : fields) field.AppendJson(&line);
  }
  logger_->log(SpdlogLevel(level), spdlog::string_view_t(line.data(), line.size()));
}

void Logger::Trace(std::string_view message, std::initializer_list<LogField> fields) {
  Write(LogLevel::kTrace, message, fields);
}
void Logger::Debug(std::string_view message, std::initializer_list<LogField> fields) {
  Write(LogLevel::kDebug, message, fields);
}
void Logger::Info(std::string_view message, std::initializer_list<LogField> fields) {
  Write(LogLevel::kInfo, message, fields);
}
void Logger::Warn(std::string_view message, std::initializer_list<LogField> fields) {
  Write(LogLevel::kWarn, message, fields);
}
void Logger::Error(std::string_view message, std::initializer_list<LogField> fields) {
  Write(LogLevel::kError, message, fields);
}

RateLimit::RateLimit(double lines_per_second, double burst)
    : lines_per_second_(lines_per_second), burst_(std::max(burst, 1.0)), allowed_(burst_) {}

std::optional<uint64_t> RateLimit::Admit(absl::Time now) {
  if (refilled_at_ != absl::InfinitePast()) {
    const double elapsed_seconds = std::max(0.0, absl::ToDoubleSeconds(now - refilled_at_));
    allowed_ = std::min(burst_, allowed_ + elapsed_seconds * lines_per_second_);
  }
  refilled_at_ = now;
  if (allowed_ < 1) {
    ++suppressed_;
    return std::nullopt;
  }
  allowed_ -= 1;
  return std::exchange(suppressed_, 0);
}

}  // namespace sluice
