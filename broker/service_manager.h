// The side of systemd: tells it how the process is (sd_notify(3)), and feeds its watchdog. Started by anything else,
// without NOTIFY_SOCKET in the environment, it does nothing.
//
//   ServiceManager manager(log);
//   manager.Serving("serving clients on 127.0.0.1:7584");
//   for (;;) {
//     manager.FeedWatchdog(broker->Healthy());
//     ...  // for at most manager.feed_interval(): whatever else there is to do
//   }
//   manager.Stopping(config.drain_timeout);
//
// Thread safety: none; one thread, which is the one that would be stuck if nobody fed the watchdog.
#ifndef SLUICE_BROKER_SERVICE_MANAGER_H_
#define SLUICE_BROKER_SERVICE_MANAGER_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "broker/log.h"

namespace sluice {

class ServiceManager {
 public:
  // `log` outlives it.
  explicit ServiceManager(Logger* log);

  // Ready for clients, at first and after a Reloading(). `status` is what `systemctl status` shows.
  void Serving(std::string_view status);
  void Reloading();
  // On the way out, for at most `time_max`: that long the manager waits, also where its TimeoutStopSec= is less. There
  // is no watchdog any more.
  void Stopping(absl::Duration time_max);

  // Infinite when no watchdog is asked for.
  absl::Duration feed_interval() const { return feed_interval_; }
  // Only who is well feeds it. The log says when that ends and begins again.
  void FeedWatchdog(const absl::Status& health);

 private:
  void Notify(const std::string& state);

  Logger* const log_;
  absl::Duration feed_interval_ = absl::InfiniteDuration();
  bool well_ = true;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_SERVICE_MANAGER_H_
