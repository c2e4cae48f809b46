#include "broker/core/lag_cause.h"

#include <algorithm>

namespace sluice {
namespace {

// The kernel counts its times in ticks of up to 10 ms.
constexpr absl::Duration kTimesTellFrom = absl::Milliseconds(20);
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);
constexpr absl::Duration kCauseHolds = absl::Seconds(2);
constexpr absl::Duration kWindow = absl::Seconds(1);
constexpr absl::Duration kLossWindow = absl::Seconds(10);
constexpr absl::Duration kQueuedFrom = absl::Milliseconds(80);

// Who takes less than this part of what it is fed does not read.
constexpr uint64_t kReadsFeedOver = 100;
// So large a part sent again is more than a slow link's full queue makes of it in the long run.
constexpr uint64_t kLossyAckedOver = 50;

uint64_t Growth(uint64_t before, uint64_t after) { return after > before ? after - before : 0; }

uint64_t PerSecond(uint64_t bytes, absl::Duration time) {
  const double seconds = absl::ToDoubleSeconds(time);
  return seconds <= 0 ? 0 : static_cast<uint64_t>(static_cast<double>(bytes) / seconds);
}

// There is something to send, and no room for it at the peer.
bool WindowClosed(const TransportSample& sample) {
  return sample.unsent_bytes > 0 &&
         sample.receive_window_bytes < std::min(sample.unsent_bytes, sample.segment_bytes_max);
}

// Of what was sent so much was lost that it explains the lag.
bool Lossy(const TransportSample& from, const TransportSample& to) {
  const uint64_t retransmitted_bytes = Growth(from.retransmitted_bytes, to.retransmitted_bytes);
  return retransmitted_bytes > 0 &&
         retransmitted_bytes >= Growth(from.acked_bytes, to.acked_bytes) / kLossyAckedOver;
}

// What is under way waits somewhere for its turn: no delayed acknowledgement takes so long.
bool QueuedOnTheWay(const TransportSample& sample) {
  return sample.round_trip >= kQueuedFrom && sample.round_trip >= 4 * sample.round_trip_min;
}

v1::LagCause FindCause(const LagSample& before, const LagSample& after, const LagSample& loss_since,
                       uint64_t fed_bytes) {
  const TransportSample& from = before.transport;
  const TransportSample& to = after.transport;
  const absl::Duration time = after.at - before.at;
  const uint64_t acked_bytes = Growth(from.acked_bytes, to.acked_bytes);
  const bool closed = WindowClosed(to);
  if (closed && acked_bytes == 0) return v1::LAG_CAUSE_APPLICATION;
  const bool times_tell = time >= kTimesTellFrom;
  const bool receiver_limited =
      times_tell ? 2 * (to.receive_window_limited - from.receive_window_limited) >= time : closed;
  // With a window that is always full the kernel sends some again to ask for room; with one that losses fill, it
  // has room as soon as what was lost has come.
  const bool always_limited =
      times_tell && 20 * (to.receive_window_limited - from.receive_window_limited) >= 19 * time;
  if (!always_limited && Lossy(loss_since.transport, to)) return v1::LAG_CAUSE_NETWORK_LOSSY;
  if (receiver_limited && acked_bytes > 0 && QueuedOnTheWay(to)) return v1::LAG_CAUSE_NETWORK_SLOW;
  if (receiver_limited) {
    const bool reads = acked_bytes > 0 && acked_bytes >= fed_bytes / kReadsFeedOver;
    return reads ? v1::LAG_CAUSE_OVER_SUBSCRIBED : v1::LAG_CAUSE_APPLICATION;
  }
  if (!times_tell) return v1::LAG_CAUSE_UNSPECIFIED;
  if (2 * (to.busy - from.busy) >= time) return v1::LAG_CAUSE_NETWORK_SLOW;
  return acked_bytes > 0 ? v1::LAG_CAUSE_OVER_SUBSCRIBED : v1::LAG_CAUSE_UNSPECIFIED;
}

}  // namespace

LagFinding FindLag(const LagSample& before, const LagSample& after, const LagSample& loss_since) {
  const absl::Duration time = after.at - before.at;
  const uint64_t fed_bytes =
      Growth(before.pending_bytes + before.gone_bytes, after.pending_bytes + after.gone_bytes);
  return {.cause = FindCause(before, after, loss_since, fed_bytes),
          .drain_bytes_per_second =
              PerSecond(Growth(before.transport.acked_bytes, after.transport.acked_bytes), time),
          .feed_bytes_per_second = PerSecond(fed_bytes, time),
          .delivery_bytes_per_second = after.transport.delivery_bytes_per_second};
}

absl::Duration TimeToLimit(const LagFinding& finding, const Nearness& nearest, const QueueState& queue,
                           uint64_t session_pending_bytes) {
  const double feed = static_cast<double>(finding.feed_bytes_per_second);
  const double drain = static_cast<double>(finding.drain_bytes_per_second);
  const double room = static_cast<double>(Growth(nearest.value, nearest.limit_value));
  if (nearest.limit == v1::REASON_PENDING_AGE) {
    // The head of the queue moves through the time of its messages as fast as they leave, measured by how
    // fast they came.
    if (drain == 0) return absl::Milliseconds(room);
    return feed <= drain ? absl::InfiniteDuration() : absl::Milliseconds(room) / (1 - drain / feed);
  }
  if (feed <= drain || queue.waiting_bytes == 0 || session_pending_bytes == 0) {
    return absl::InfiniteDuration();
  }
  const double part = static_cast<double>(queue.waiting_bytes) / static_cast<double>(session_pending_bytes);
  const double growth = (feed - drain) * std::min(part, 1.0);
  if (nearest.limit == v1::REASON_PENDING_BYTES) return absl::Seconds(room / growth);
  const double message_bytes = static_cast<double>(queue.waiting_bytes) /
                               static_cast<double>(std::max<uint64_t>(1, queue.waiting_messages));
  return absl::Seconds(room * message_bytes / growth);
}

void LagWatch::Stop() {
  base_.at = absl::InfinitePast();
  finding_ = {};
  due_at_ = absl::InfiniteFuture();
  cause_since_ = absl::InfinitePast();
}

LagWatch::Outcome LagWatch::Observe(const LagSample& sample) {
  due_at_ = sample.at + kLookEvery;
  const bool first = !has_base();
  if (first) base_ = middle_ = sample;
  if (sample.at >= loss_since_.at + kLossWindow) loss_since_ = base_;
  if (first) return Outcome::kSame;
  const v1::LagCause cause_before = finding_.cause;
  finding_ = FindLag(base_, sample, loss_since_);
  const bool recovers = finding_.drain_bytes_per_second > finding_.feed_bytes_per_second;
  const bool holds =
      finding_.cause == v1::LAG_CAUSE_UNSPECIFIED || recovers || sample.at < cause_since_ + kCauseHolds;
  if (holds && cause_before != v1::LAG_CAUSE_UNSPECIFIED) finding_.cause = cause_before;
  if (sample.at >= middle_.at + kWindow) {
    base_ = middle_;
    middle_ = sample;
  }
  if (finding_.cause == cause_before) return Outcome::kSame;
  cause_since_ = sample.at;
  return Outcome::kChanged;
}

LagFinding LagWatch::Conclude(const LagSample& sample) const {
  if (!has_base()) return FindLag(sample, sample, sample);
  LagFinding found = FindLag(base_, sample, loss_since_);
  if (found.cause == v1::LAG_CAUSE_UNSPECIFIED) found.cause = finding_.cause;
  return found;
}

}  // namespace sluice
