// The client's reading of a message frame against the generated parser: what both accept says the same, and
// what generated code writes is accepted.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/publish.h"
#include "protocol/sluice.pb.h"
#include "protocol/topic.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/support/canonical_body.h"

namespace sluice {
namespace {

bool LiesWithin(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// Fields 40 to 47 behind the message, or whatever it was: ReadMessage passes over them, a parser keeps them.
bool HasBrokersPart(std::string_view body, std::string_view canonical) {
  return body.size() > canonical.size();
}

void CheckAccepted(std::string_view body, const MessageView& view) {
  FUZZ_CHECK(LiesWithin(view.topic, body));
  FUZZ_CHECK(LiesWithin(view.payload, body));
  FUZZ_CHECK(LiesWithin(view.reply_to, body));
  for (const HeaderView& header : view.headers) {
    FUZZ_CHECK(LiesWithin(header.name, body) && LiesWithin(header.value, body));
    FUZZ_CHECK(!header.name.empty());
  }
  v1::ServerFrame frame;
  if (!frame.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    // The only thing that it leaves to the broker's check.
    FUZZ_CHECK(!IsValidUtf8(view.topic) || !IsValidUtf8(view.reply_to));
    return;
  }
  FUZZ_CHECK(frame.has_message());
  const std::string canonical = CanonicalBody(view);
  const std::string again = frame.SerializeAsString();
  FUZZ_CHECK(again.starts_with(canonical));
  FUZZ_CHECK(again == canonical || HasBrokersPart(body, canonical));
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  MessageView view;
  if (ReadMessage(body, &view)) {
    CheckAccepted(body, view);
    return 0;
  }
  PublishView publish;
  FUZZ_CHECK(CheckPublish(body, {}, &publish) != PublishVerdict::kOk);
  return 0;
}
