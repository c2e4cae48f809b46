// sluice: the command.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "client/cli/command_line.h"
#include "client/cli/console.h"
#include "client/cli/interrupt.h"

namespace sluice::cli {
namespace {

// A descriptor that we open must not become standard output because that was closed when we started.
void OpenStandardDescriptors() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) ::close(fd);
}

int Main(int argc, const char* const* argv) {
  OpenStandardDescriptors();
  CommandLine line;
  const Parsed parsed = line.Parse(argc, argv);
  // Before any other thread, so that all of them inherit it.
  const Interrupt interrupt;
  Console console(&interrupt);
  if (parsed.run) return static_cast<int>(parsed.run(console));
  if (parsed.code == ExitCode::kDone) {
    if (console.output().Write(parsed.text) != Output::Result::kWritten) {
      return static_cast<int>(console.Fail(console.output()));
    }
  } else {
    std::fputs(parsed.text.c_str(), stderr);
  }
  return static_cast<int>(parsed.code);
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) {
  try {
    return sluice::cli::Main(argc, argv);
  } catch (const std::exception& error) {
    // Out of memory, descriptors or threads.
    std::fprintf(stderr, "sluice: %s\n", error.what());
    return static_cast<int>(sluice::cli::ExitCode::kFailure);
  }
}
