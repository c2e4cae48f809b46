// The C++ end of wire_test.py: reads frames from standard input and writes one frame for each, read and
// written again by the code that broker and client use. An empty frame stands for one that was refused.
//
//   wire_helper client|server < frames > frames
//
// A message that passes is taken apart by our own walk and put together by generated code.
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

#include "protocol/control.h"
#include "protocol/frame.h"
#include "protocol/publish.h"
#include "protocol/sluice.pb.h"
#include "tests/support/canonical_body.h"

namespace sluice {
namespace {

void PassMessage(std::string_view body, std::string* out) {
  MessageView view;
  AppendFrame(ReadMessage(body, &view) ? CanonicalFrame(view) : v1::ServerFrame(), out);
}

void PassClientFrame(std::string_view body, std::string* out) {
  PublishView view;
  v1::ClientFrame frame;
  if (IsPublish(body) && CheckPublish(body, {}, &view) == PublishVerdict::kOk) return PassMessage(body, out);
  if (IsPublish(body) || ParseControl(body, &frame) != ControlVerdict::kOk) frame.Clear();
  AppendFrame(frame, out);
}

void PassServerFrame(std::string_view body, std::string* out) {
  if (IsPublish(body)) return PassMessage(body, out);
  v1::ServerFrame frame;
  if (!frame.ParseFromArray(body.data(), static_cast<int>(body.size()))) frame.Clear();
  AppendFrame(frame, out);
}

int Run(std::string_view sender) {
  if (sender != "client" && sender != "server") return 2;
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  std::string output;
  for (std::string_view rest = input; !rest.empty();) {
    const FramePrefix prefix = ReadFramePrefix(rest);
    if (prefix.status != FramePrefixStatus::kComplete || prefix.frame_bytes() > rest.size()) return 1;
    const std::string_view body = rest.substr(prefix.prefix_bytes, prefix.body_bytes);
    if (sender == "client") {
      PassClientFrame(body, &output);
    } else {
      PassServerFrame(body, &output);
    }
    rest.remove_prefix(prefix.frame_bytes());
  }
  return std::fwrite(output.data(), 1, output.size(), stdout) == output.size() ? 0 : 1;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return argc == 2 ? sluice::Run(argv[1]) : 2; }
