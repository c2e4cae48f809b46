// Control frames of a client: what passes is a known frame, never a message, and says the same when it is
// written and read again.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/control.h"
#include "protocol/names.h"
#include "protocol/publish.h"
#include "protocol/sluice.pb.h"
#include "protocol/topic.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/support/visible_text.h"

namespace sluice {
namespace {

// What the broker will log or answer with.
void CheckTexts(const v1::ClientFrame& frame) {
  for (const std::string& text : {frame.connect().client_name(), frame.connect().client_library(),
                                  frame.subscribe().filter(), frame.subscribe().queue_group()}) {
    FUZZ_CHECK(IsValidUtf8(text));
    FUZZ_CHECK(IsPrintableForm(Printable(text)));
    FUZZ_CHECK(IsVisibleText(std::string(ValidateFilter(text).message())));
  }
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
  v1::ClientFrame frame;
  const ControlVerdict verdict = ParseControl(body, &frame);
  FUZZ_CHECK((verdict == ControlVerdict::kTooLarge) == (size > kControlBodyBytesMax));
  if (verdict != ControlVerdict::kOk) return 0;

  FUZZ_CHECK(frame.frame_case() != v1::ClientFrame::FRAME_NOT_SET && !frame.has_message());
  CheckTexts(frame);
  const std::string written = frame.SerializeAsString();
  if (written.size() > kControlBodyBytesMax) return 0;
  FUZZ_CHECK(!IsPublish(written));
  v1::ClientFrame again;
  FUZZ_CHECK(ParseControl(written, &again) == ControlVerdict::kOk);
  FUZZ_CHECK(again.frame_case() == frame.frame_case());
  FUZZ_CHECK(again.SerializeAsString() == written);
  return 0;
}
