// Takes events to the application's callbacks. Internal to the client.
//
// Thread safety: all methods from any thread.
#ifndef SLUICE_CLIENT_EVENT_SINK_H_
#define SLUICE_CLIENT_EVENT_SINK_H_

#include <functional>
#include <utility>

#include "client/dispatcher.h"
#include "client/events.h"

namespace sluice::client {

class EventSink {
 public:
  // `dispatcher` outlives the sink.
  EventSink(ClientCallbacks callbacks, Dispatcher* dispatcher)
      : callbacks_(std::move(callbacks)), dispatcher_(dispatcher) {}

  // Run on the dispatch thread, in the order of the calls.
  void Post(ConnectedEvent event) { Post(callbacks_.on_connected, std::move(event)); }
  void Post(DisconnectedEvent event) { Post(callbacks_.on_disconnected, std::move(event)); }
  void Post(SlowConsumerEvent event) { Post(callbacks_.on_slow_consumer, std::move(event)); }
  void Post(GapEvent event) { Post(callbacks_.on_gap, std::move(event)); }
  void Post(ErrorEvent event) { Post(callbacks_.on_error, std::move(event)); }
  void Post(PausedEvent event) { Post(callbacks_.on_paused, std::move(event)); }

  // Runs here and now.
  void Call(const GapEvent& event) const {
    if (callbacks_.on_gap) callbacks_.on_gap(event);
  }

 private:
  template <typename Event>
  void Post(const std::function<void(const Event&)>& callback, Event event) {
    if (callback) dispatcher_->Post([&callback, event = std::move(event)] { callback(event); });
  }

  const ClientCallbacks callbacks_;
  Dispatcher* const dispatcher_;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_EVENT_SINK_H_
