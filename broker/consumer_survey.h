// Looks at the subscriptions of a shard for the HTTP side, session by session, so that a long list is spread over
// many turns. Internal to the broker.
//
//   ConsumerSurvey survey(request, shard);
//   work += survey.Look(session, now);               // of each session; many per turn, until that is enough
//   for (const ConsumerSurvey::Found& found : survey.TakeFirst()) ...   // to be described
//   survey.distributions()
//
// Costs: a session with nothing pending is a few comparisons, however many subscriptions it has; of others each
// subscription with something pending is looked at. With a topic, every subscription is.
//
// What is found early may have changed, or be gone, when the survey ends; it is described as it is then.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CONSUMER_SURVEY_H_
#define SLUICE_BROKER_CONSUMER_SURVEY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "broker/session.h"
#include "metrics/survey.h"

namespace sluice {

class ConsumerSurvey {
 public:
  ConsumerSurvey(const SurveyRequest& request, uint32_t shard) : request_(request), shard_(shard) {}

  // Returns how many things were looked at, one at least.
  size_t Look(const Session& session, absl::Time now);

  const SubscriptionDistributions& distributions() const { return distributions_; }

  struct Found {
    uint64_t key;
    uint64_t token;
    uint32_t subscription;
  };
  // The largest key first.
  std::vector<Found> TakeFirst();

 private:
  bool Wanted(const Session& session) const;
  void Distribute(const Session& session, absl::Time now);
  void Add(const Session& session, const Subscription& subscription, uint64_t key);

  const SurveyRequest request_;
  const uint32_t shard_;
  SubscriptionDistributions distributions_;
  // A heap with the smallest key in front.
  std::vector<Found> first_;
};

// One subscription in full. `shard` is the session's, `now` the shard's time, `wall` the same moment by the calendar.
admin::Consumer DescribeConsumer(const Session& session, const Subscription& subscription, uint32_t shard,
                                 absl::Time now, absl::Time wall);

// Limits as they are shown; those that do not apply are 0.
admin::Limits ShowLimits(const QueueLimits& limits);

}  // namespace sluice

#endif  // SLUICE_BROKER_CONSUMER_SURVEY_H_
