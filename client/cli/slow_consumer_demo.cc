#include "client/cli/slow_consumer_demo.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "client/cli/bench_payload.h"
#include "client/cli/pacer.h"
#include "client/cli/text.h"
#include "client/cli/values.h"
#include "protocol/names.h"

namespace sluice::cli {
namespace {

constexpr char kSlowName[] = "slow-reader";
constexpr char kStuckName[] = "never-reads";
constexpr char kPictures[] = "demo.pictures";
constexpr char kTicks[] = "demo.ticks";
constexpr char kFlood[] = "demo.flood";

constexpr uint64_t kPictureBytes = 10 << 20;
constexpr uint64_t kStepBytes = 1 << 20;
// Small, so that little of the message hides in the kernel while the reader pauses.
constexpr int kReceiveBufferBytes = 32 << 10;
constexpr uint64_t kTicksPerPause = 20;
// What the one that never reads asks for as its limit, and what it is sent.
constexpr uint64_t kStuckPendingMessages = 100;
constexpr uint64_t kFloodBytes = 16 << 10;
// The kernel's share and the limit are a few hundred; far more means that it is not cut.
constexpr uint64_t kFloodMessagesMax = 20'000;

// FNV-1a: enough to see that no byte was changed, lost or moved.
uint64_t Checksum(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  return hash;
}

std::string MakePicture() {
  std::mt19937_64 random(7584);
  std::string picture(kPictureBytes, '\0');
  for (size_t i = 0; i < picture.size(); i += 8) {
    const uint64_t bits = random();
    std::copy_n(reinterpret_cast<const char*>(&bits), sizeof bits, picture.data() + i);
  }
  return picture;
}

}  // namespace

SlowConsumerDemo::SlowConsumerDemo(SlowConsumerOptions options, Console* console)
    : options_(std::move(options)),
      stage_(console, options_.broker, [this](LogLine line) { OnLine(std::move(line)); }),
      picture_(MakePicture()) {}

SlowConsumerDemo::~SlowConsumerDemo() = default;

ExitCode SlowConsumerDemo::Run() {
  const absl::Status status = RunAll();
  if (status.ok()) PrintNumbers();
  return stage_.End(status);
}

absl::Status SlowConsumerDemo::RunAll() {
  using Step = absl::Status (SlowConsumerDemo::*)();
  for (const Step step : {&SlowConsumerDemo::Prepare, &SlowConsumerDemo::ReadWithPauses,
                          &SlowConsumerDemo::NeverRead, &SlowConsumerDemo::TakeLeave}) {
    if (absl::Status status = (this->*step)(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// ---- The acts ----

absl::Status SlowConsumerDemo::Prepare() {
  // Debug shows each blocked write. The cut client reads its goodbye only after we have seen that it was cut.
  absl::Status started =
      stage_.Start({.flags = {"--max-message=16MiB", "--log-level=debug", "--goodbye-timeout=20s"}});
  if (!started.ok()) return started;
  stage_.Print(
      fmt::format("A broker of our own serves at {}; it takes messages of up to 16 MiB.", stage_.address()));

  absl::StatusOr<std::unique_ptr<Client>> healthy = stage_.ConnectClient("healthy");
  if (!healthy.ok()) return healthy.status();
  healthy_ = *std::move(healthy);
  absl::StatusOr<Subscription> subscription =
      healthy_->Subscribe(kTicks, [ticks = ticks_](const MessageView& message) {
        const std::optional<BenchStamp> stamp = ReadBenchStamp(message.payload);
        const int64_t now_ns = NowNs();
        {
          client::MutexLock lock(&ticks->mutex);
          if (!stamp.has_value() || stamp->sequence != ticks->received) ++ticks->out_of_order;
          if (stamp.has_value()) ticks->slowest_ns = std::max(ticks->slowest_ns, now_ns - stamp->sent_ns);
          ++ticks->received;
        }
        ticks->changed.Set();
      });
  if (!subscription.ok()) return subscription.status();
  subscription_ = *std::move(subscription);

  absl::StatusOr<std::unique_ptr<Client>> publisher = stage_.ConnectClient("publisher");
  if (!publisher.ok()) return publisher.status();
  publisher_ = *std::move(publisher);

  absl::StatusOr<std::unique_ptr<RawReceiver>> slow =
      RawReceiver::Connect(stage_.address(), kSlowName, kReceiveBufferBytes);
  if (!slow.ok()) return slow.status();
  slow_ = *std::move(slow);
  v1::Subscribe pictures;
  pictures.set_filter(kPictures);
  return slow_->Subscribe(std::move(pictures));
}

absl::Status SlowConsumerDemo::ReadWithPauses() {
  stage_.Print(fmt::format(
      "\n{} gets a message of {} bytes and does not read yet. The broker says:", kSlowName, kPictureBytes));
  if (absl::Status status = publisher_->Publish(kPictures, picture_); !status.ok()) return status;
  if (absl::Status status =
          stage_.WaitUntil([this] { return !slow_story_.blocked.empty(); }, "the write to block");
      !status.ok()) {
    return status;
  }
  stage_.Print(fmt::format(
      "\nIt reads 1 MiB at a time and pauses for {}. Meanwhile the healthy subscriber gets {} in each "
      "pause.",
      ShowDuration(options_.pause), Counted(kTicksPerPause, "message")));
  while (slow_->stream().empty()) {
    if (slow_story_.drained.empty()) {
      if (absl::Status status = Tick(kTicksPerPause); !status.ok()) return status;
      // The broker's last byte may have left while the ticks were on their way; then they do not count.
      if (slow_story_.drained.empty()) ticks_while_blocked_ = ticks_sent_;
      if (absl::Status status = stage_.Pause(options_.pause); !status.ok()) return status;
    }
    const auto arrived = [&] { return !slow_->stream().empty(); };
    absl::Status status = stage_.Read(slow_.get(), kStepBytes, arrived, "the rest of the message");
    if (!status.ok()) return status;
    if (slow_->ended() && slow_->stream().empty())
      return absl::UnavailableError("the broker cut the slow reader");
    ++steps_;
  }
  return stage_.WaitUntil([this] { return !slow_story_.drained.empty(); }, "the write to be drained");
}

absl::Status SlowConsumerDemo::NeverRead() {
  stage_.Print(fmt::format(
      "\n{} subscribes, lets no more than {} wait for it, and does not read. The broker says:", kStuckName,
      Counted(kStuckPendingMessages, "message")));
  absl::StatusOr<std::unique_ptr<RawReceiver>> stuck =
      RawReceiver::Connect(stage_.address(), kStuckName, kReceiveBufferBytes);
  if (!stuck.ok()) return stuck.status();
  stuck_ = *std::move(stuck);
  v1::Subscribe flood;
  flood.set_filter(kFlood);
  flood.mutable_limits()->set_pending_messages_max(kStuckPendingMessages);
  if (absl::Status status = stuck_->Subscribe(std::move(flood)); !status.ok()) return status;

  const std::string payload(kFloodBytes, '~');
  for (uint64_t sent = 0; stuck_story_.cut.empty(); ++sent) {
    if (sent == kFloodMessagesMax) {
      return absl::FailedPreconditionError(
          fmt::format("the broker did not cut {} after {}", kStuckName, Counted(sent, "message")));
    }
    if (absl::Status status = publisher_->Publish(kFlood, payload); !status.ok()) return status;
    // The tick behind it comes back when the broker has dealt with both.
    if (absl::Status status = Tick(1); !status.ok()) return status;
  }
  // Now it reads what is left for it, and finds why.
  const auto never = [] { return false; };
  return stage_.Read(stuck_.get(), UINT64_MAX, never, "the end of the cut connection");
}

absl::Status SlowConsumerDemo::TakeLeave() {
  subscription_.Unsubscribe();
  for (const std::unique_ptr<RawReceiver>* receiver : {&slow_, &stuck_}) (*receiver)->Close();
  for (const std::unique_ptr<Client>* client : {&publisher_, &healthy_}) (*client)->Close().IgnoreError();
  return absl::OkStatus();
}

// ---- What they are made of ----

absl::Status SlowConsumerDemo::Tick(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    std::string payload(kBenchPayloadBytesMin, '\0');
    WriteBenchStamp({.sequence = ticks_sent_, .sent_ns = NowNs()}, payload.data());
    if (absl::Status status = publisher_->Publish(kTicks, payload); !status.ok()) return status;
    ++ticks_sent_;
  }
  const auto all_received = [this] {
    ticks_->changed.Clear();
    client::MutexLock lock(&ticks_->mutex);
    return ticks_->received >= ticks_sent_;
  };
  return stage_.WaitUntil(all_received, "the healthy subscriber's messages", ticks_->changed.fd());
}

void SlowConsumerDemo::OnLine(LogLine line) {
  const std::string_view client = line.Field("client");
  if (client != kSlowName && client != kStuckName) return;
  stage_.Print("  " + line.text);
  Story& story = client == kSlowName ? slow_story_ : stuck_story_;
  if (line.message == "write blocked: EPOLLOUT armed")
    story.blocked.push_back(std::move(line));
  else if (line.message == "write resumed")
    story.resumed.push_back(std::move(line));
  else if (line.message == "drained: EPOLLOUT removed")
    story.drained.push_back(std::move(line));
  else if (line.message == "slow consumer disconnected")
    story.cut.push_back(std::move(line));
}

// ---- The numbers ----

void SlowConsumerDemo::PrintNumbers() {
  stage_.Print("\nThe numbers:");
  PrintSlow();
  PrintHealthy();
  PrintStuck();
  stage_.StopBroker();
}

void SlowConsumerDemo::PrintSlow() {
  const LogLine& first = slow_story_.blocked.front();
  stage_.Result(
      first.Number("taken_bytes") < first.Number("offered_bytes") && first.Number("pending_bytes") > 0,
      fmt::format("first write: {} bytes offered, {} taken, {} left pending", first.Number("offered_bytes"),
                  first.Number("taken_bytes"), first.Number("pending_bytes")));

  const size_t armed = slow_story_.blocked.size();
  const size_t removed = slow_story_.drained.size();
  stage_.Result(armed == removed, fmt::format("EPOLLOUT armed {}, removed {}", Counted(armed, "time"),
                                              Counted(removed, "time")));

  std::vector<uint64_t> progress;
  for (const LogLine& line : slow_story_.resumed) progress.push_back(line.Number("progress"));
  const bool rises =
      std::is_sorted(progress.begin(), progress.end()) && !progress.empty() && progress.back() == 100;
  stage_.Result(progress.size() > 1 && rises,
                fmt::format("resumed {} from {}% to {}%, while it was read in {}",
                            Counted(progress.size(), "time"), progress.empty() ? 0 : progress.front(),
                            progress.empty() ? 0 : progress.back(), Counted(steps_, "step")));

  const std::string& arrived = slow_->stream().front().message().payload();
  const bool intact = arrived.size() == kPictureBytes && Checksum(arrived) == Checksum(picture_);
  stage_.Result(intact, fmt::format("{} of {} bytes arrived, checksum {:016x}, sent was {:016x}",
                                    arrived.size(), kPictureBytes, Checksum(arrived), Checksum(picture_)));
}

void SlowConsumerDemo::PrintHealthy() {
  client::MutexLock lock(&ticks_->mutex);
  stage_.Result(
      ticks_->received == ticks_sent_ && ticks_->out_of_order == 0 && ticks_while_blocked_ > 0,
      fmt::format(
          "the healthy subscriber received {} of {}, in order; {} of them while {} was blocked; the slowest "
          "took {}",
          ticks_->received, Counted(ticks_sent_, "message"), ticks_while_blocked_, kSlowName,
          RoundedDuration(absl::Nanoseconds(ticks_->slowest_ns))));
}

void SlowConsumerDemo::PrintStuck() {
  const LogLine& cut = stuck_story_.cut.front();
  const std::optional<v1::Goodbye>& goodbye = stuck_->goodbye();
  stage_.Result(goodbye.has_value() && goodbye->reason() == v1::REASON_PENDING_MESSAGES,
                fmt::format("{} was cut: {}, limit {}, value {}; {}", kStuckName, cut.Field("reason"),
                            cut.Number("limit"), cut.Number("value"),
                            goodbye.has_value() ? fmt::format("it was told: {}", goodbye->text())
                                                : "it was not told why"));
}

}  // namespace sluice::cli
