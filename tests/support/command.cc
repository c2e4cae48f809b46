#include "tests/support/command.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace sluice::testing {
namespace {

constexpr int kNotStarted = 127;

// Between fork and exec, where nothing may be allocated.
[[noreturn]] void Become(char* const* argv, const char* input, const char* output) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int in = ::open(input, O_RDONLY);
  const int out = ::open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (in >= 0 && out >= 0 && ::dup2(in, 0) == 0 && ::dup2(out, 1) == 1 && ::dup2(out, 2) == 2) {
    ::execvp(argv[0], argv);
  }
  ::_exit(kNotStarted);
}

int ExitCodeOf(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

Command::Command(const std::vector<std::string>& arguments, std::string_view input) {
  const std::string in = dir_.Write("input", input);
  const std::string out = dir_.Write("output", "");
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) Become(argv.data(), in.c_str(), out.c_str());
  if (pid_ < 0) throw std::runtime_error("cannot fork for " + arguments[0]);
}

Command::~Command() {
  if (!running()) return;
  ::kill(pid_, SIGKILL);
  Wait();
}

int Command::Wait() {
  while (exit_code_ == -1) {
    int status = 0;
    if (::waitpid(pid_, &status, 0) == pid_) {
      exit_code_ = ExitCodeOf(status);
    } else if (errno != EINTR) {
      throw std::runtime_error("cannot wait for a command");
    }
  }
  if (exit_code_ == kNotStarted) throw std::runtime_error("a command that the test needs is not installed");
  return exit_code_;
}

bool Command::running() {
  int status = 0;
  if (exit_code_ == -1 && ::waitpid(pid_, &status, WNOHANG) == pid_) exit_code_ = ExitCodeOf(status);
  return exit_code_ == -1;
}

std::string Command::output() const { return ReadFile(dir_.path() + "/output"); }

CommandResult RunCommand(const std::vector<std::string>& arguments, std::string_view input) {
  Command command(arguments, input);
  const int exit_code = command.Wait();
  return {exit_code, command.output()};
}

}  // namespace sluice::testing
