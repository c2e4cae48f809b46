#include "client/requests.h"

#include <charconv>
#include <vector>

namespace sluice::client {

uint64_t Requests::Add(absl::Time deadline, ReplyCallback done) {
  MutexLock lock(&mutex_);
  const uint64_t id = ++last_id_;
  pending_.emplace(id, Pending{.deadline = deadline, .done = std::move(done)});
  if (deadline != absl::InfiniteFuture()) deadlines_.emplace(deadline, id);
  return id;
}

Known Requests::Finish(uint64_t id, absl::StatusOr<ReceivedMessage> result) {
  ReplyCallback done;
  {
    MutexLock lock(&mutex_);
    const auto at = pending_.find(id);
    if (at == pending_.end()) return Known::kNo;
    done = std::move(at->second.done);
    deadlines_.erase({at->second.deadline, id});
    pending_.erase(at);
  }
  done(std::move(result));
  return Known::kYes;
}

Known Requests::Forget(uint64_t id) {
  MutexLock lock(&mutex_);
  const auto at = pending_.find(id);
  if (at == pending_.end()) return Known::kNo;
  deadlines_.erase({at->second.deadline, id});
  pending_.erase(at);
  return Known::kYes;
}

void Requests::FailAll(const absl::Status& why) {
  std::map<uint64_t, Pending> failed;
  {
    MutexLock lock(&mutex_);
    failed.swap(pending_);
    deadlines_.clear();
  }
  for (auto& [id, pending] : failed) pending.done(why);
}

absl::Time Requests::NextDeadline() const {
  MutexLock lock(&mutex_);
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
}

void Requests::Expire(absl::Time now) {
  std::vector<uint64_t> due;
  {
    MutexLock lock(&mutex_);
    for (const auto& [deadline, id] : deadlines_) {
      if (deadline > now) break;
      due.push_back(id);
    }
  }
  for (const uint64_t id : due) Finish(id, absl::DeadlineExceededError("no reply came in time"));
}

std::string Requests::Token(uint64_t id) { return std::to_string(id); }

uint64_t Requests::ParseToken(std::string_view token) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), id);
  return error == std::errc() && end == token.data() + token.size() ? id : 0;
}

}  // namespace sluice::client
