// The check of the data path against the generated parser. What CheckPublish accepts is forwarded as it is,
// so it must be one message, and the same one, to every subscriber; and what generated code writes must not
// be taken for a broken stream.
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

// What a subscriber's generated parser makes of the body is this message and nothing else.
void CheckMeansTheSame(std::string_view body, const PublishView& view) {
  MessageView read;
  FUZZ_CHECK(ReadMessage(body, &read));
  FUZZ_CHECK(read.topic == view.topic);
  FUZZ_CHECK(read.payload == view.payload);
  FUZZ_CHECK(read.reply_to == view.reply_to);
  FUZZ_CHECK(read.headers.size() == view.headers);
  const std::string canonical = CanonicalBody(read);
  v1::ServerFrame as_server;
  FUZZ_CHECK(as_server.ParseFromArray(body.data(), static_cast<int>(body.size())));
  FUZZ_CHECK(as_server.has_message());
  FUZZ_CHECK(as_server.SerializeAsString() == canonical);
  v1::ClientFrame as_client;
  FUZZ_CHECK(as_client.ParseFromArray(body.data(), static_cast<int>(body.size())));
  FUZZ_CHECK(as_client.SerializeAsString() == canonical);
}

void CheckRights(const PublishView& view, const PublishLimits& limits) {
  FUZZ_CHECK(ValidateTopic(view.topic).ok());
  FUZZ_CHECK(view.reply_to.empty() || ValidateTopic(view.reply_to).ok());
  FUZZ_CHECK(view.payload.size() <= limits.payload_bytes_max);
  FUZZ_CHECK(view.headers <= kHeadersMax);
}

// Whether generated code, given some message, writes exactly these bytes.
bool IsWhatGeneratedCodeWrites(std::string_view body) {
  v1::ClientFrame frame;
  if (!frame.ParseFromArray(body.data(), static_cast<int>(body.size())) || !frame.has_message()) return false;
  v1::ServerFrame rebuilt;  // without unknown fields
  for (const v1::Header& header : frame.message().headers()) {
    v1::Header* copy = rebuilt.mutable_message()->add_headers();
    copy->set_name(header.name());
    copy->set_value(header.value());
  }
  rebuilt.mutable_message()->set_topic(frame.message().topic());
  rebuilt.mutable_message()->set_payload(frame.message().payload());
  rebuilt.mutable_message()->set_reply_to(frame.message().reply_to());
  return rebuilt.SerializeAsString() == body;
}

void CheckBody(std::string_view body, const PublishLimits& limits) {
  PublishView view;
  const PublishVerdict verdict = CheckPublish(body, limits, &view);
  if (verdict != PublishVerdict::kBadFrame) FUZZ_CHECK(IsPublish(body));
  switch (verdict) {
    case PublishVerdict::kOk:
      CheckRights(view, limits);
      CheckMeansTheSame(body, view);
      FUZZ_CHECK(body.size() <= FrameBodyBytesMax(limits));
      break;
    case PublishVerdict::kBadFrame:
      FUZZ_CHECK(!IsWhatGeneratedCodeWrites(body));
      break;
    case PublishVerdict::kBadTopic:
      FUZZ_CHECK(!ValidateTopic(view.topic).ok());
      break;
    case PublishVerdict::kBadReplyTo:
      FUZZ_CHECK(!ValidateTopic(view.reply_to).ok());
      break;
    case PublishVerdict::kBadHeaders:
      FUZZ_CHECK(view.headers > 0);
      break;
    case PublishVerdict::kPayloadTooLarge:
      FUZZ_CHECK(view.payload.size() > limits.payload_bytes_max);
      break;
  }
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);  // it complains about every invalid text
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  sluice::CheckBody(body, {});
  sluice::CheckBody(body, {.payload_bytes_max = 8, .headers_bytes_max = 12});
  return 0;
}
