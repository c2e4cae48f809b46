// The numbers of `sluice demo`, when it is over.
#include <fmt/format.h>

#include <algorithm>

#include "client/cli/demo_cast.h"
#include "client/cli/live_demo.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "protocol/topic.h"

namespace sluice::cli {
namespace {

bool Gets(const DemoConsumer& consumer, const DemoPublisher& publisher) {
  return FilterMatches(consumer.role().filter, publisher.feed().prefix() + ".any");
}

}  // namespace

uint64_t LiveDemo::PublishedFor(const DemoConsumer& consumer) const {
  uint64_t published = 0;
  for (const auto& publisher : publishers_) {
    if (Gets(consumer, *publisher)) published += publisher->feed().published();
  }
  return published;
}

bool LiveDemo::HasWhatIsLeft(const DemoConsumer& consumer) const {
  // It misses what is published while it is away, and may be away now.
  if (consumer.role().name == kDisconnect) return true;
  const DemoConsumer::Books books = consumer.books();
  return books.received + books.missed() >= PublishedFor(consumer);
}

void LiveDemo::PrintSummary() {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"consumer"},
               {"policy"},
               {"received", kRight},
               {"conflated", kRight},
               {"dropped", kRight},
               {"lost", kRight},
               {"gaps", kRight},
               {"warnings", kRight},
               {"cuts", kRight}});
  for (const auto& consumer : consumers_) {
    const DemoConsumer::Books books = consumer->books();
    table.Add({std::string(consumer->role().name), std::string(consumer->role().policy),
               std::to_string(books.received), std::to_string(books.conflated), std::to_string(books.dropped),
               std::to_string(books.lost), std::to_string(books.gaps), std::to_string(books.warnings),
               std::to_string(books.cuts)});
  }
  uint64_t published = 0;
  for (const auto& publisher : publishers_) published += publisher->feed().published();
  std::string text = fmt::format("\nOf {}, each saw:\n", Counted(published, "published message"));
  for (const std::string& line : table.Lines()) text += "\n" + line;
  stage_.Print(text + "\n");
}

void LiveDemo::PrintResults() {
  for (const Sighting& one : sightings_.list()) stage_.Result(one.seen, one.what);
  for (const auto& consumer : consumers_) JudgeConsumer(*consumer);
  JudgePublishers();
}

void LiveDemo::JudgeConsumer(const DemoConsumer& consumer) {
  const DemoRole& role = consumer.role();
  const DemoConsumer::Books books = consumer.books();
  const uint64_t published = PublishedFor(consumer);
  if (role.reading == DemoRole::Reading::kAtOnce || role.name == kBlock) {
    const bool all = std::all_of(publishers_.begin(), publishers_.end(), [&](const auto& publisher) {
      const auto feed = books.feeds.find(publisher->feed().prefix());
      return !Gets(consumer, *publisher) ||
             (feed != books.feeds.end() && feed->second.Lost(publisher->feed().published()) == 0);
    });
    return stage_.Result(
        all && books.in_order() && books.received == published && books.missed() == 0,
        fmt::format("{} got {} of {}, in order", role.name, books.received, Counted(published, "message")));
  }
  if (role.name == kDisconnect) {
    return stage_.Result(books.in_order(),
                         fmt::format("{} got {} in order, and was told of {} lost", role.name,
                                     Counted(books.received, "message"), books.lost));
  }
  const bool in_order = role.name == kConflate ? books.older_than_newest == 0 : books.in_order();
  stage_.Result(in_order && books.received + books.missed() == published && books.lost == 0,
                fmt::format("{}: {} received in order + {} told missing = {} published", role.name,
                            books.received, books.missed(), published));
  if (role.name != kConflate) return;
  uint64_t topics = 0;
  uint64_t newest = 0;
  for (const auto& publisher : publishers_) {
    if (!Gets(consumer, *publisher)) continue;
    for (const auto& [topic, sequence] : publisher->feed().newest()) {
      const auto has = books.newest.find(topic);
      ++topics;
      if (has != books.newest.end() && has->second == sequence) ++newest;
    }
  }
  stage_.Result(newest == topics,
                fmt::format("{} has the newest message of {} of {} topics", role.name, newest, topics));
}

void LiveDemo::JudgePublishers() {
  uint64_t held_up = 0;
  for (const auto& publisher : publishers_) {
    if (publisher->name() != kHeldUp) held_up += publisher->times_held_up();
  }
  stage_.Result(held_up == 0, fmt::format("no consumer held any publisher up but {}", kHeldUp));
}

}  // namespace sluice::cli
