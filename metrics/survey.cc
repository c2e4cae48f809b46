#include "metrics/survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

namespace sluice {
namespace {

// A number that is all of `text`.
template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::string SessionName::ToString() const { return fmt::format("{}-{}", shard, token); }

std::string ConsumerName::ToString() const {
  return subscription.has_value() ? fmt::format("{}.{}", session.ToString(), *subscription)
                                  : session.ToString();
}

std::optional<ConsumerName> ConsumerName::Parse(std::string_view text) {
  ConsumerName name;
  if (const size_t dot = text.find('.'); dot != std::string_view::npos) {
    name.subscription = ParseNumber<uint32_t>(text.substr(dot + 1));
    if (!name.subscription.has_value()) return std::nullopt;
    text = text.substr(0, dot);
  }
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::optional<uint32_t> shard = ParseNumber<uint32_t>(text.substr(0, dash));
  const std::optional<uint64_t> token = ParseNumber<uint64_t>(text.substr(dash + 1));
  if (!shard.has_value() || !token.has_value()) return std::nullopt;
  name.session = {*shard, *token};
  return name;
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  const int64_t micros = absl::ToUnixMicros(time);
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(micros / 1'000'000);
  timestamp.set_nanos(static_cast<int32_t>(micros % 1'000'000) * 1000);
  return timestamp;
}

void SubscriptionDistributions::Merge(const SubscriptionDistributions& other) {
  pending_bytes.Merge(other.pending_bytes);
  pending_messages.Merge(other.pending_messages);
  oldest_age_ms.Merge(other.oldest_age_ms);
  limit_share.Merge(other.limit_share);
  oldest_age_seconds_max = std::max(oldest_age_seconds_max, other.oldest_age_seconds_max);
  subscriptions += other.subscriptions;
  shards_missing += other.shards_missing;
}

void SurveyAnswer::Merge(SurveyAnswer other, size_t consumers_max) {
  distributions.Merge(other.distributions);
  const auto middle = static_cast<std::ptrdiff_t>(consumers.size());
  std::move(other.consumers.begin(), other.consumers.end(), std::back_inserter(consumers));
  std::inplace_merge(consumers.begin(), consumers.begin() + middle, consumers.end(),
                     [](const SurveyedConsumer& a, const SurveyedConsumer& b) { return a.key > b.key; });
  if (consumers.size() > consumers_max) consumers.resize(consumers_max);
}

}  // namespace sluice
