#include "tests/support/scripted_transport.h"

#include <algorithm>

namespace sluice::testing {

ScriptedTransport& ScriptedTransport::Takes(size_t bytes_max) {
  script_.push_back({bytes_max, WriteStatus::kTaken});
  return *this;
}

ScriptedTransport& ScriptedTransport::Breaks() {
  script_.push_back({0, WriteStatus::kBroken});
  return *this;
}

void ScriptedTransport::Clear() {
  stream_.clear();
  calls_.clear();
}

WriteResult ScriptedTransport::Write(std::span<const iovec> pieces) {
  Step step = {afterwards_bytes_max_, WriteStatus::kTaken};
  if (!script_.empty()) {
    step = script_.front();
    script_.pop_front();
  }
  Call call = {.offered_bytes = 0, .pieces = pieces.size(), .result = {step.status, 0}};
  for (const iovec& piece : pieces) {
    const size_t taken = std::min(step.bytes_max - call.result.bytes, piece.iov_len);
    stream_.append(static_cast<const char*>(piece.iov_base), taken);
    call.offered_bytes += piece.iov_len;
    call.result.bytes += taken;
  }
  if (step.status == WriteStatus::kTaken && call.result.bytes == 0) {
    call.result.status = WriteStatus::kWouldBlock;
  }
  calls_.push_back(call);
  return call.result;
}

}  // namespace sluice::testing
