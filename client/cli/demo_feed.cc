#include "client/cli/demo_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace sluice::cli {
namespace {

constexpr std::string_view kHead = "{\"seq\":";
constexpr int64_t kPriceCentsMin = 100;

}  // namespace

std::optional<uint64_t> SequenceOf(std::string_view payload) {
  if (!payload.starts_with(kHead)) return std::nullopt;
  payload.remove_prefix(kHead.size());
  uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(payload.data(), payload.data() + payload.size(), sequence);
  if (error != std::errc() || end == payload.data() + payload.size() || *end != ',') return std::nullopt;
  return sequence;
}

std::string_view FeedOf(std::string_view topic) { return topic.substr(0, topic.rfind('.')); }

DemoFeed::DemoFeed(Options options, int64_t start_ns)
    : options_(std::move(options)), start_ns_(start_ns), asked_ns_(start_ns), random_(options_.seed) {
  volume_.resize(options_.symbols.size());
  for (size_t i = 0; i < options_.symbols.size(); ++i) {
    price_cents_.push_back(2'000 + static_cast<int64_t>(random_() % 40'000));
  }
}

uint64_t DemoFeed::RateFactor(int64_t now_ns) const {
  const int64_t into_cycle_ns = (now_ns - start_ns_) % absl::ToInt64Nanoseconds(kCycle);
  return into_cycle_ns >= absl::ToInt64Nanoseconds(kCycle - kBurst) ? options_.burst_factor : 1;
}

uint64_t DemoFeed::Due(int64_t now_ns) {
  const int64_t since_ns = std::min(now_ns - asked_ns_, absl::ToInt64Nanoseconds(kMadeUpMax));
  asked_ns_ = now_ns;
  due_ +=
      1e-9 * static_cast<double>(since_ns) * options_.per_second * static_cast<double>(RateFactor(now_ns));
  const uint64_t whole = static_cast<uint64_t>(due_);
  due_ -= static_cast<double>(whole);
  return whole;
}

FeedMessage DemoFeed::Next() {
  const size_t which = random_() % options_.symbols.size();
  int64_t& cents = price_cents_[which];
  cents = std::max(kPriceCentsMin, cents + static_cast<int64_t>(random_() % 11) - 5);
  const std::string& symbol = options_.symbols[which];
  const int64_t size = 100 * (1 + static_cast<int64_t>(random_() % 20));
  const auto shown = [](int64_t price) { return fmt::format("{}.{:02}", price / 100, price % 100); };
  volume_[which] += size;
  FeedMessage message = {
      .topic = fmt::format("{}.{}", options_.prefix, symbol),
      .payload = fmt::format(R"({}{},"symbol":"{}","price":{},"size":{},"bid":{},"ask":{},"volume":{}}})",
                             kHead, published_, symbol, shown(cents), size, shown(cents - 1),
                             shown(cents + 1), volume_[which])};
  newest_[message.topic] = published_++;
  return message;
}

}  // namespace sluice::cli
