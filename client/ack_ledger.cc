#include "client/ack_ledger.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace sluice::client {
namespace {

void AddTo(PublishReceipt* sum, const PublishReceipt& receipt) {
  sum->messages += receipt.messages;
  sum->matched += receipt.matched;
  sum->queued += receipt.queued;
  sum->dropped += receipt.dropped;
  sum->refused += receipt.refused;
  sum->blocked += receipt.blocked;
}

}  // namespace

uint64_t AckLedger::Add(AckKind kind, uint64_t last, AckCallback done) {
  covered_ = std::max(covered_, last);
  pending_.push_back({.id = ++last_id_, .kind = kind, .last = last, .done = std::move(done), .refusal = {}});
  return last_id_;
}

AckLedger::Told AckLedger::OnRefusal(uint64_t number, const absl::Status& why) {
  // Its single, if it has one, is the first that covers it.
  const auto at = std::partition_point(pending_.begin(), pending_.end(),
                                       [number](const Pending& pending) { return pending.last < number; });
  if (at == pending_.end() || at->kind != AckKind::kSingle || at->last != number) return Told::kNotYet;
  at->refusal = why;
  return Told::kBySingle;
}

std::vector<AckCompletion> AckLedger::OnAck(uint64_t id, const PublishReceipt& receipt) {
  std::vector<AckCompletion> completions;
  while (!pending_.empty() && pending_.front().id < id) {
    // The broker answers in order: this one will never come.
    if (pending_.front().done) {
      completions.push_back(
          {std::move(pending_.front().done), absl::InternalError("the broker skipped this acknowledgement")});
    }
    pending_.pop_front();
  }
  if (pending_.empty() || pending_.front().id != id) return completions;
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  if (pending.kind == AckKind::kSingle) {
    if (!pending.refusal.ok()) {
      completions.push_back({std::move(pending.done), pending.refusal});
    } else if (receipt.refused > 0) {
      completions.push_back({std::move(pending.done), absl::InvalidArgumentError("the broker refused it")});
    } else {
      completions.push_back({std::move(pending.done), receipt});
    }
    return completions;
  }
  AddTo(&sum_, receipt);
  if (pending.kind == AckKind::kBatch) {
    const PublishReceipt sum = std::exchange(sum_, PublishReceipt());
    if (unknown_ > 0) {
      completions.push_back({std::move(pending.done), TellUnknown()});
    } else {
      completions.push_back({std::move(pending.done), sum});
    }
  }
  return completions;
}

absl::Status AckLedger::TellUnknown() {
  return absl::UnavailableError(fmt::format(
      "the connection was lost before the broker confirmed all messages; it may or may not have {} of "
      "them",
      std::exchange(unknown_, 0)));
}

std::vector<AckCompletion> AckLedger::EndSession(uint64_t handed, uint64_t unknown) {
  unknown_ += unknown;
  std::vector<AckCompletion> completions;
  std::deque<Pending> kept;
  for (Pending& pending : pending_) {
    const bool left = pending.last <= handed;
    if (pending.kind == AckKind::kSingle && left) {
      completions.push_back({std::move(pending.done),
                             absl::UnavailableError("the connection was lost before the broker confirmed the "
                                                    "message; it may or may not have it")});
      continue;
    }
    if (pending.kind == AckKind::kBatch && (left || unknown_ > 0)) {
      completions.push_back({std::move(pending.done), TellUnknown()});
      sum_ = PublishReceipt();
      // What is still to be sent must not run into the answer of a single behind it.
      pending.kind = AckKind::kSeparator;
      pending.done = nullptr;
    }
    if (!left) kept.push_back(std::move(pending));
  }
  pending_ = std::move(kept);
  return completions;
}

bool AckLedger::Contains(uint64_t id) const {
  const auto at = std::partition_point(pending_.begin(), pending_.end(),
                                       [id](const Pending& pending) { return pending.id < id; });
  return at != pending_.end() && at->id == id;
}

std::vector<AckCompletion> AckLedger::OnDropped(uint64_t number, const absl::Status& why) {
  std::vector<AckCompletion> completions;
  for (auto at = pending_.begin(); at != pending_.end(); ++at) {
    if (at->kind != AckKind::kSingle || at->last != number) continue;
    completions.push_back({std::move(at->done), why});
    pending_.erase(at);
    break;
  }
  return completions;
}

uint64_t AckLedger::SinglesBetween(uint64_t after, uint64_t last) const {
  return static_cast<uint64_t>(
      std::count_if(pending_.begin(), pending_.end(), [after, last](const Pending& pending) {
        return pending.kind == AckKind::kSingle && pending.last > after && pending.last <= last;
      }));
}

std::vector<AckCompletion> AckLedger::FailAll(const absl::Status& why) {
  std::vector<AckCompletion> completions;
  for (Pending& pending : pending_) {
    if (pending.done) completions.push_back({std::move(pending.done), why});
  }
  pending_.clear();
  return completions;
}

}  // namespace sluice::client
