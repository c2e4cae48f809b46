#include "broker/service_manager.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <cstdint>
#include <cstdlib>
#include <system_error>

#include "broker/clock.h"

namespace sluice {
namespace {

// Between two looks of the watchdog: after one that finds somebody stuck there is time for another.
constexpr int kFeedsPerWatchdogTime = 4;
// Threads that end, sockets that are told Goodbye.
constexpr absl::Duration kStopMargin = absl::Seconds(30);

}  // namespace

ServiceManager::ServiceManager(Logger* log) : log_(log) {
  uint64_t watchdog_us = 0;
  const int enabled = ::sd_watchdog_enabled(0, &watchdog_us);
  if (enabled > 0) {
    feed_interval_ = absl::Microseconds(static_cast<int64_t>(watchdog_us)) / kFeedsPerWatchdogTime;
  } else if (enabled < 0) {
    const char* const text = std::getenv("WATCHDOG_USEC");
    log_->Warn("no watchdog: the environment variable WATCHDOG_USEC is not a number of microseconds above 0",
               {{"value", text == nullptr ? "" : text}});
  }
}

void ServiceManager::Serving(std::string_view status) { Notify(fmt::format("READY=1\nSTATUS={}", status)); }

void ServiceManager::Reloading() {
  Notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading the configuration again",
                     absl::ToUnixMicros(MonotonicNow())));
}

void ServiceManager::Stopping(absl::Duration time_max) {
  Notify(fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS=going down: delivering what is queued",
                     absl::ToInt64Microseconds(time_max + kStopMargin)));
}

void ServiceManager::FeedWatchdog(const absl::Status& health) {
  if (feed_interval_ == absl::InfiniteDuration()) return;
  if (health.ok() != well_) {
    well_ = health.ok();
    if (well_) {
      log_->Info("the watchdog is fed again");
    } else {
      log_->Error("the watchdog is not fed any more", {{"reason", std::string(health.message())}});
    }
  }
  if (well_) Notify("WATCHDOG=1");
}

void ServiceManager::Notify(const std::string& state) {
  const int sent = ::sd_notify(0, state.c_str());
  if (sent >= 0) return;
  const char* const socket = std::getenv("NOTIFY_SOCKET");
  log_->Warn("cannot tell the service manager", {{"state", state},
                                                 {"notify_socket", socket == nullptr ? "" : socket},
                                                 {"error", std::generic_category().message(-sent)}});
}

}  // namespace sluice
