// A socket that does what a script says, one step per write, and keeps every byte that it took.
//
//   ScriptedTransport transport;
//   transport.Takes(3).WouldBlock().Takes(5).Breaks();  // and everything, once the script is over
//   ... the writer flushes into it ...
//   EXPECT_EQ(transport.calls()[0].offered_bytes, 70);
//   EXPECT_EQ(transport.stream(), "what a peer would have received");
#ifndef SLUICE_TESTS_SUPPORT_SCRIPTED_TRANSPORT_H_
#define SLUICE_TESTS_SUPPORT_SCRIPTED_TRANSPORT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/core/transport.h"

namespace sluice::testing {

class ScriptedTransport : public Transport {
 public:
  static constexpr size_t kEverything = std::numeric_limits<size_t>::max();

  // The next write without a step yet takes at most so many bytes; 0 is a WouldBlock().
  ScriptedTransport& Takes(size_t bytes_max);
  ScriptedTransport& WouldBlock() { return Takes(0); }
  ScriptedTransport& Breaks();

  // What every write takes once the script is over, to begin with everything; 0: it would block.
  void AfterwardsTakes(size_t bytes_max) { afterwards_bytes_max_ = bytes_max; }

  // What BytesAcked() answers from now on.
  void Acknowledged(std::optional<uint64_t> bytes) { acknowledged_ = bytes; }

  // What Sample() answers from now on; to begin with nothing.
  void Says(const TransportSample& sample) { sample_ = sample; }
  size_t samples_taken() const { return samples_taken_; }

  // Everything taken so far, in order.
  const std::string& stream() const { return stream_; }

  struct Call {
    size_t offered_bytes = 0;
    size_t pieces = 0;
    WriteResult result;
  };
  const std::vector<Call>& calls() const { return calls_; }

  // Forgets the stream and the calls; the rest of the script stands.
  void Clear();

  WriteResult Write(std::span<const iovec> pieces) override;
  std::optional<uint64_t> BytesAcked() override { return acknowledged_; }
  std::optional<TransportSample> Sample() override {
    ++samples_taken_;
    return sample_;
  }

 private:
  struct Step {
    size_t bytes_max = 0;
    WriteStatus status = WriteStatus::kTaken;
  };
  std::deque<Step> script_;
  size_t afterwards_bytes_max_ = kEverything;
  std::optional<uint64_t> acknowledged_;
  std::optional<TransportSample> sample_;
  size_t samples_taken_ = 0;
  std::string stream_;
  std::vector<Call> calls_;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_SCRIPTED_TRANSPORT_H_
