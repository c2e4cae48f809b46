#include "client/cli/confirmed_publisher.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/cli/text.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kReceiptMessages = 10'000;
constexpr uint64_t kReceiptBytes = 256 << 10;
// So many receipts may be on their way: enough that neither we nor the broker wait for the other, and no
// more, so that a file is not thrown at it (and at its subscribers) in one go.
constexpr uint64_t kReceiptsOutstandingMax = 4;
// How soon a signal is heard while the outgoing buffer is full.
constexpr absl::Duration kStep = absl::Milliseconds(100);
constexpr absl::Duration kPatienceAfterSignal = absl::Seconds(5);

}  // namespace

void ConfirmedPublisher::Prepare(ClientOptions* options) { options->publish_timeout = kStep; }

ConfirmedPublisher::ConfirmedPublisher(Client* client, const Notices* notices, Console* console,
                                       absl::Duration patience)
    : client_(*client),
      notices_(*notices),
      console_(*console),
      patience_(patience),
      moved_at_(client::MonotonicNow()) {}

absl::Status ConfirmedPublisher::Publish(const MessageView& message) {
  for (;;) {
    absl::Status status = client_.Publish(message);
    if (status.code() != absl::StatusCode::kDeadlineExceeded) {
      if (!status.ok()) return status;
      break;
    }
    if (console_.interrupt().exit_code().has_value()) return absl::CancelledError("a signal came");
    if (IsStuck()) return TookNothing();
  }
  ++published_;
  published_bytes_ += message.payload.size();
  ++unasked_messages_;
  unasked_bytes_ += message.payload.size();
  if (unasked_messages_ < kReceiptMessages && unasked_bytes_ < kReceiptBytes) return absl::OkStatus();
  if (absl::Status asked = AskForReceipt(); !asked.ok()) return asked;
  // A signal ends the wait, and the next publish says so.
  return WaitForReceipts(kReceiptsOutstandingMax, absl::ZeroDuration());
}

absl::Status ConfirmedPublisher::AskForReceipt() {
  unasked_messages_ = 0;
  unasked_bytes_ = 0;
  {
    client::MutexLock lock(&receipts_->mutex);
    ++receipts_->outstanding;
  }
  absl::Status asked = client_.Confirm(
      [receipts = receipts_](const absl::StatusOr<PublishReceipt>& receipt) { receipts->On(receipt); });
  if (!asked.ok()) receipts_->On(asked);
  return asked;
}

void ConfirmedPublisher::Receipts::On(const absl::StatusOr<PublishReceipt>& receipt) {
  {
    client::MutexLock lock(&mutex);
    --outstanding;
    if (receipt.ok()) {
      sum.messages += receipt->messages;
      sum.matched += receipt->matched;
      sum.queued += receipt->queued;
      sum.dropped += receipt->dropped;
      sum.refused += receipt->refused;
      sum.blocked += receipt->blocked;
    } else {
      ++failed;
    }
  }
  changed.Set();
}

bool ConfirmedPublisher::IsStuck() {
  const ClientStats stats = client_.stats();
  uint64_t moved = stats.messages_published - std::min(stats.messages_published, stats.outgoing_messages);
  {
    client::MutexLock lock(&receipts_->mutex);
    moved += receipts_->sum.messages;
  }
  const absl::Time now = client::MonotonicNow();
  if (moved != moved_) {
    moved_ = moved;
    moved_at_ = now;
  }
  return now - moved_at_ >= patience_;
}

absl::Status ConfirmedPublisher::WaitForReceipts(uint64_t outstanding_max,
                                                 absl::Duration patience_after_signal) {
  moved_at_ = client::MonotonicNow();
  absl::Time deadline = absl::InfiniteFuture();
  for (;;) {
    receipts_->changed.Clear();
    {
      client::MutexLock lock(&receipts_->mutex);
      if (receipts_->outstanding <= outstanding_max) return absl::OkStatus();
    }
    const absl::Time now = client::MonotonicNow();
    const bool interrupted = console_.interrupt().exit_code().has_value();
    if (interrupted) deadline = std::min(deadline, now + patience_after_signal);
    if (now >= deadline) return absl::OkStatus();
    if (IsStuck()) return TookNothing();
    WaitFor({receipts_->changed.fd(), interrupted ? -1 : console_.interrupt().fd()}, now + kStep);
  }
}

absl::Status ConfirmedPublisher::TookNothing() const {
  return absl::DeadlineExceededError(
      fmt::format("the broker took nothing for {}", absl::FormatDuration(patience_)));
}

PublishOutcome ConfirmedPublisher::Finish() {
  absl::Status asked = unasked_messages_ > 0 ? AskForReceipt() : absl::OkStatus();
  WaitForReceipts(0, kPatienceAfterSignal).IgnoreError();
  uint64_t failed = 0;
  {
    client::MutexLock lock(&receipts_->mutex);
    failed = receipts_->failed;
  }
  // A receipt that failed with a connection says nothing of what was still with us then and went out
  // afterwards.
  if (asked.ok() && failed > 0) {
    asked = AskForReceipt();
    WaitForReceipts(0, kPatienceAfterSignal).IgnoreError();
  }
  PublishOutcome outcome;
  outcome.published = published_;
  outcome.unsent = client_.stats().outgoing_messages;
  uint64_t outstanding = 0;
  {
    client::MutexLock lock(&receipts_->mutex);
    outcome.receipt = receipts_->sum;
    outstanding = receipts_->outstanding;
  }
  // Those that the broker refused are in its receipts; those that the library did not send it, after a
  // reconnect to a broker with other limits, are not.
  outcome.refused = std::max(outcome.receipt.refused, notices_.refused());
  const uint64_t answered =
      outcome.receipt.messages + outcome.unsent + (outcome.refused - outcome.receipt.refused);
  outcome.unknown = published_ - std::min(published_, answered);
  outcome.status = Verdict(outcome, outstanding);
  return outcome;
}

absl::Status ConfirmedPublisher::Verdict(const PublishOutcome& outcome, uint64_t outstanding) const {
  std::string text;
  const auto add = [&](uint64_t count, std::string_view what) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : "; ", count, what);
  };
  add(outcome.refused, "refused");
  add(outcome.unknown, "unknown: the broker may or may not have them");
  add(outcome.unsent, "not sent");
  if (text.empty()) return absl::OkStatus();
  text = fmt::format("of {}: {}", Counted(published_, "message"), text);
  if (outstanding > 0) return absl::DeadlineExceededError(text);
  return outcome.unknown + outcome.unsent > 0 ? absl::UnavailableError(text)
                                              : absl::FailedPreconditionError(text);
}

}  // namespace sluice::cli
