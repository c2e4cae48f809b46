// A configuration file: whatever is in it, it is read or refused with a text for people, and what was read
// says the same when it is written and read again.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/config.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/support/visible_text.h"

namespace sluice {
namespace {

CommandLine ReadFile(std::string_view text) {
  const int file = memfd_create("config", MFD_CLOEXEC);
  FUZZ_CHECK(file >= 0);
  FUZZ_CHECK(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  const std::array<const char*, 3> arguments = {"sluiced", "--config", path.c_str()};
  CommandLine command = ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
  close(file);
  return command;
}

bool IsVisibleLines(std::string text) {
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return IsVisibleText(text);
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const CommandLine command = ReadFile({reinterpret_cast<const char*>(data), size});
  if (command.next == NextStep::kFail) {
    FUZZ_CHECK(command.exit_code == kExitConfig);
    FUZZ_CHECK(!command.text.empty());
    FUZZ_CHECK(IsVisibleLines(command.text));
    return 0;
  }
  FUZZ_CHECK(command.next == NextStep::kRun);
  const std::string written = ConfigToToml(command.config);
  const CommandLine again = ReadFile(written);
  FUZZ_CHECK(again.next == NextStep::kRun);
  FUZZ_CHECK(ConfigToToml(again.config) == written);
  return 0;
}
