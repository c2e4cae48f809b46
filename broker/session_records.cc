#include "broker/session_records.h"

#include <utility>

namespace sluice {

void SessionRecords::Keep(std::string_view session_id, v1::Goodbye goodbye, uint32_t cuts_in_a_row,
                          absl::Time now) {
  Record record;
  record.session_id = session_id;
  *record.record.mutable_goodbye() = std::move(goodbye);
  record.record.set_cuts_in_a_row(cuts_in_a_row);
  record.ended_at = now;
  record.bytes = sizeof(Record) + record.record.ByteSizeLong();
  const MutexLock lock(&mutex_);
  if (by_id_.contains(session_id)) return;  // a session ends once
  bytes_ += record.bytes;
  records_.push_back(std::move(record));
  by_id_.emplace(records_.back().session_id, std::prev(records_.end()));
  while (records_.size() > kRecordsMax || (bytes_ > kRecordBytesMax && records_.size() > 1) ||
         now - records_.front().ended_at > kRecordsKeptFor) {
    DropOldest();
  }
}

void SessionRecords::DropOldest() {
  by_id_.erase(records_.front().session_id);
  bytes_ -= records_.front().bytes;
  records_.pop_front();
}

std::optional<v1::SessionRecord> SessionRecords::Find(std::string_view session_id, absl::Time now) const {
  const MutexLock lock(&mutex_);
  const auto found = by_id_.find(session_id);
  if (found == by_id_.end() || now - found->second->ended_at > kRecordsKeptFor) return std::nullopt;
  v1::SessionRecord record = found->second->record;
  record.set_ended_ms_ago(static_cast<uint64_t>(absl::ToInt64Milliseconds(now - found->second->ended_at)));
  return record;
}

size_t SessionRecords::size() const {
  const MutexLock lock(&mutex_);
  return records_.size();
}

}  // namespace sluice
