#include "broker/consumer_survey.h"

#include <algorithm>
#include <string>
#include <utility>

#include "broker/core/filter_group.h"
#include "broker/core/verdict.h"
#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

bool Larger(const ConsumerSurvey::Found& a, const ConsumerSurvey::Found& b) { return a.key > b.key; }

uint64_t Microseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Microseconds(duration)));
}

// Nothing waits: zero.
absl::Duration OldestAge(const Subscription& subscription, absl::Time now) {
  const absl::Time oldest = subscription.queue().state().oldest;
  return oldest == absl::InfiniteFuture() ? absl::ZeroDuration()
                                          : std::max(absl::ZeroDuration(), now - oldest);
}

// What there is no limit for is shown as 0.
double Seconds(absl::Duration duration) {
  return duration == absl::InfiniteDuration() ? 0 : absl::ToDoubleSeconds(duration);
}

double Number(uint64_t number) { return static_cast<double>(number); }

const char* StateOf(const Subscriber& subscriber, const Subscription& subscription) {
  if (subscription.blocking == Subscription::Blocking::kYes) return "blocking";
  if (subscription.shedding == Subscription::Shedding::kYes) return "shedding";
  if (subscription.lagging == Subscription::Lagging::kYes) return "lagging";
  const bool pending = subscription.queue().pending_bytes() > 0;
  if (pending && subscription.out_of_credit()) return "out_of_credit";
  if (pending && subscriber.stalled()) return "stalled";
  return "ok";
}

}  // namespace

bool ConsumerSurvey::Wanted(const Session& session) const {
  if (request_.consumers_max == 0) return false;
  return !request_.only.has_value() ||
         request_.only->session == SessionName{shard_, session.subscriber().token()};
}

size_t ConsumerSurvey::Look(const Session& session, absl::Time now) {
  const Subscriber& subscriber = session.subscriber();
  size_t work = 1;
  size_t pending = 0;
  const bool wanted = Wanted(session);
  const auto add = [&](const Subscription* subscription, uint64_t key) {
    ++work;
    if (wanted) Add(session, *subscription, key);
  };
  subscriber.ForEachPending([&](const Subscription* subscription) {
    ++pending;
    const absl::Duration age = OldestAge(*subscription, now);
    const SendQueue& queue = subscription->queue();
    distributions_.pending_bytes.Observe(queue.pending_bytes());
    distributions_.pending_messages.Observe(queue.pending_messages());
    distributions_.oldest_age_ms.Observe(Microseconds(age) / 1000);
    distributions_.limit_share.Observe(NearestLimit(queue.state(), *subscription->limits, now).share);
    distributions_.oldest_age_seconds_max =
        std::max(distributions_.oldest_age_seconds_max, absl::ToDoubleSeconds(age));
    switch (request_.sort) {
      case SurveyRequest::Sort::kPending:
        return add(subscription, queue.pending_bytes());
      case SurveyRequest::Sort::kAge:
        return add(subscription, Microseconds(age));
      case SurveyRequest::Sort::kStalled:
        return add(subscription, subscriber.stalled() ? Microseconds(now - subscriber.stall().since) : 0);
      case SurveyRequest::Sort::kDropped:
        ++work;
    }
  });
  const size_t quiet = subscriber.subscription_count() - std::min(pending, subscriber.subscription_count());
  distributions_.subscriptions += subscriber.subscription_count();
  distributions_.pending_bytes.Observe(0, quiet);
  distributions_.pending_messages.Observe(0, quiet);
  distributions_.oldest_age_ms.Observe(0, quiet);
  distributions_.limit_share.Observe(0, quiet);
  if (!wanted) return work;
  const bool by_drops = request_.sort == SurveyRequest::Sort::kDropped;
  if (by_drops) {
    subscriber.left_out().ForEach([&](uint32_t id, const LeftOut& left_out) {
      if (const Subscription* subscription = subscriber.Find(id)) add(subscription, left_out.dropped);
    });
  }
  // Those with nothing of the kind fill the list up.
  if (first_.size() >= request_.consumers_max) return work;
  subscriber.ForEachSubscription([&](const Subscription* subscription) {
    ++work;
    const bool seen =
        by_drops ? !subscriber.left_out().Of(subscription->id).empty() : subscriber.IsPending(*subscription);
    if (!seen && first_.size() < request_.consumers_max) Add(session, *subscription, 0);
  });
  return work;
}

void ConsumerSurvey::Add(const Session& session, const Subscription& subscription, uint64_t key) {
  const bool full = first_.size() >= request_.consumers_max;
  if (full && key <= first_.front().key) return;
  if (request_.only.has_value() && request_.only->subscription.value_or(subscription.id) != subscription.id) {
    return;
  }
  if (!request_.topic.empty() &&
      (subscription.group == nullptr || !FilterMatches(subscription.group->filter(), request_.topic))) {
    return;
  }
  if (full) {
    std::pop_heap(first_.begin(), first_.end(), Larger);
    first_.pop_back();
  }
  first_.push_back({key, session.subscriber().token(), subscription.id});
  std::push_heap(first_.begin(), first_.end(), Larger);
}

std::vector<ConsumerSurvey::Found> ConsumerSurvey::TakeFirst() {
  std::sort(first_.begin(), first_.end(), Larger);
  return std::exchange(first_, {});
}

admin::Limits ShowLimits(const QueueLimits& limits) {
  admin::Limits shown;
  shown.set_pending_bytes_max(Number(limits.pending_bytes_max));
  shown.set_pending_messages_max(Number(limits.pending_messages_max));
  shown.set_pending_age_max_seconds(Seconds(limits.pending_age_max));
  shown.set_pending_bytes_soft(Number(limits.pending_bytes_soft));
  shown.set_pending_messages_soft(Number(limits.pending_messages_soft));
  shown.set_pending_age_soft_seconds(Seconds(limits.pending_age_soft));
  shown.set_soft_time_seconds(Seconds(limits.soft_time));
  return shown;
}

admin::Consumer DescribeConsumer(const Session& session, const Subscription& subscription, uint32_t shard,
                                 absl::Time now, absl::Time wall) {
  const Subscriber& subscriber = session.subscriber();
  const SendQueue& queue = subscription.queue();
  const SessionName name = {shard, subscriber.token()};
  const auto calendar = [&](absl::Time time) { return ToTimestamp(wall - (now - time)); };

  admin::Consumer consumer;
  consumer.set_id(ConsumerName{name, subscription.id}.ToString());
  consumer.set_session(name.ToString());
  consumer.set_subscription(subscription.id);
  consumer.set_client_name(std::string(session.client_name()));
  consumer.set_address(session.address());
  if (subscription.group != nullptr) {
    consumer.set_filter(std::string(subscription.group->filter()));
    consumer.set_queue_group(std::string(subscription.group->queue_group()));
  }
  consumer.set_policy(std::string(OverflowPolicyName(subscription.policy)));
  consumer.set_observed(subscription.on_overflow == OnOverflow::kObserve);
  consumer.set_state(StateOf(subscriber, subscription));

  consumer.set_pending_bytes(Number(queue.pending_bytes()));
  consumer.set_pending_messages(Number(queue.pending_messages()));
  consumer.set_oldest_age_seconds(Seconds(OldestAge(subscription, now)));
  const Nearness nearest = NearestLimit(queue.state(), *subscription.limits, now);
  if (nearest.limit != v1::REASON_UNSPECIFIED) {
    const bool age = nearest.limit == v1::REASON_PENDING_AGE;
    consumer.set_nearest_limit(std::string(ReasonName(nearest.limit)));
    consumer.set_nearest_limit_value(Number(nearest.limit_value) / (age ? 1000 : 1));
    consumer.set_limit_share(nearest.share);
  }
  *consumer.mutable_limits() = ShowLimits(*subscription.limits);
  consumer.set_kernel_bytes(Number(session.KernelBytes()));

  if (const absl::Time since = subscriber.lagging_since(subscription); since < absl::InfiniteFuture()) {
    *consumer.mutable_lagging_since() = calendar(since);
    // It was told so itself.
    Subscriber::LagTold told = subscriber.lag_told();
    if (subscription.out_of_credit()) told = {.finding = {.cause = v1::LAG_CAUSE_APPLICATION}};
    if (told.finding.cause != v1::LAG_CAUSE_UNSPECIFIED) {
      consumer.set_cause(std::string(LagCauseName(told.finding.cause)));
      consumer.set_drain_bytes_per_second(Number(told.finding.drain_bytes_per_second));
      consumer.set_feed_bytes_per_second(Number(told.finding.feed_bytes_per_second));
      const absl::Duration left =
          TimeToLimit(told.finding, nearest, queue.state(), subscriber.pending_bytes());
      if (left < absl::InfiniteDuration()) consumer.set_time_to_limit_seconds(absl::ToDoubleSeconds(left));
    }
  }

  const LeftOut left_out = subscriber.left_out().Of(subscription.id);
  const uint64_t gone = left_out.dropped + left_out.conflated + queue.pending_messages();
  consumer.set_matched(Number(subscription.offered));
  consumer.set_delivered(Number(subscription.offered - std::min(subscription.offered, gone)));
  consumer.set_dropped(Number(left_out.dropped));
  consumer.set_conflated(Number(left_out.conflated));
  consumer.set_gaps(Number(left_out.gaps));

  *consumer.mutable_connected_since() = calendar(session.began_at());
  if (subscriber.stalled()) *consumer.mutable_stalled_since() = calendar(subscriber.stall().since);
  return consumer;
}

}  // namespace sluice
