// How sessions ended, kept for a while for the clients that come back and ask (Connect.previous_session).
// Bounded in time, number and bytes; the oldest go first.
//
//   records.Keep(session_id, goodbye, cuts_in_a_row, now);
//   if (std::optional<v1::SessionRecord> record = records.Find(connect.previous_session(), now)) ...
//
// Thread safety: any thread (sessions of all shards end here, and a client may come back to another shard).
#ifndef SLUICE_BROKER_SESSION_RECORDS_H_
#define SLUICE_BROKER_SESSION_RECORDS_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "broker/core/filter_index.h"  // StringHash
#include "protocol/mutex.h"
#include "protocol/sluice.pb.h"

namespace sluice {

inline constexpr absl::Duration kRecordsKeptFor = absl::Minutes(10);
inline constexpr size_t kRecordsMax = 10'000;
inline constexpr size_t kRecordBytesMax = size_t{32} << 20;

class SessionRecords {
 public:
  SessionRecords() = default;
  SessionRecords(const SessionRecords&) = delete;
  SessionRecords& operator=(const SessionRecords&) = delete;

  // `now` is monotonic time, here and below.
  void Keep(std::string_view session_id, v1::Goodbye goodbye, uint32_t cuts_in_a_row, absl::Time now);

  // The record of the session, if it is still kept, with ended_ms_ago filled in. It stays kept: a client that
  // loses the answer may ask again.
  std::optional<v1::SessionRecord> Find(std::string_view session_id, absl::Time now) const;

  size_t size() const;

 private:
  struct Record {
    std::string session_id;
    v1::SessionRecord record;
    absl::Time ended_at;
    size_t bytes;
  };

  void DropOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  // The oldest in front; the map's keys point into it.
  std::list<Record> records_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string_view, std::list<Record>::iterator, StringHash, std::equal_to<>> by_id_
      ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_SESSION_RECORDS_H_
