#include "client/cli/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace sluice::cli {
namespace {

struct PipeEnds {
  Descriptor read;
  Descriptor write;
};

absl::Status ErrorStatus(int error_number, const std::string& what) {
  const std::string text = fmt::format("{}: {}", what, std::generic_category().message(error_number));
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(text);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

absl::StatusOr<PipeEnds> MakePipe() {
  std::array<int, 2> fds;
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return ErrorStatus(errno, "cannot create a pipe");
  return PipeEnds{Descriptor(fds[0]), Descriptor(fds[1])};
}

// Everything that the child needs, made before fork(): behind it nothing may allocate.
struct Prepared {
  std::vector<char*> arguments;
  std::vector<std::string> environment_texts;
  std::vector<char*> environment;
  int input = -1;
  int output = -1;
  int errors = -1;
  int failure = -1;
};

void ReplaceDescriptor(int from, int to) {
  if (from >= 0) ::dup2(from, to);
}

[[noreturn]] void RunChild(const Prepared& prepared, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent was gone before that.
  if (::getppid() != parent) ::_exit(127);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ReplaceDescriptor(prepared.input, STDIN_FILENO);
  ReplaceDescriptor(prepared.output, STDOUT_FILENO);
  ReplaceDescriptor(prepared.errors, STDERR_FILENO);
  ::execvpe(prepared.arguments[0], prepared.arguments.data(), prepared.environment.data());
  const int error_number = errno;
  static_cast<void>(!::write(prepared.failure, &error_number, sizeof error_number));
  ::_exit(127);
}

bool IsReplaced(std::string_view variable, const ChildProcess::Options& options) {
  for (const auto& [name, value] : options.environment) {
    if (variable.size() > name.size() && variable.starts_with(name) && variable[name.size()] == '=')
      return true;
  }
  return false;
}

void Prepare(const ChildProcess::Options& options, Prepared* prepared) {
  for (const std::string& argument : options.arguments) {
    prepared->arguments.push_back(
        const_cast<char*>(argument.c_str()));  // NOLINT: exec takes it so and keeps it
  }
  prepared->arguments.push_back(nullptr);
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!IsReplaced(*variable, options)) prepared->environment.push_back(*variable);
  }
  prepared->environment_texts.reserve(options.environment.size());
  for (const auto& [name, value] : options.environment) {
    prepared->environment_texts.push_back(fmt::format("{}={}", name, value));
    prepared->environment.push_back(prepared->environment_texts.back().data());
  }
  prepared->environment.push_back(nullptr);
}

void MakeNonBlocking(const Descriptor& descriptor) {
  if (descriptor) ::fcntl(descriptor.get(), F_SETFL, O_NONBLOCK);
}

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::Start(const Options& options) {
  const auto pipe_if = [](Pipe wanted) -> absl::StatusOr<PipeEnds> {
    return wanted == Pipe::kYes ? MakePipe() : PipeEnds{};
  };
  absl::StatusOr<PipeEnds> input = pipe_if(options.input);
  absl::StatusOr<PipeEnds> output = pipe_if(options.output);
  absl::StatusOr<PipeEnds> errors = pipe_if(options.errors);
  absl::StatusOr<PipeEnds> failure = MakePipe();
  for (const auto* made : {&input, &output, &errors, &failure}) {
    if (!made->ok()) return made->status();
  }
  if (!input->read) input->read = Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));

  Prepared prepared;
  Prepare(options, &prepared);
  prepared.input = input->read.get();
  prepared.output = output->write ? output->write.get() : options.output_to;
  prepared.errors = errors->write ? errors->write.get() : options.errors_to;
  prepared.failure = failure->write.get();
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return ErrorStatus(errno, "cannot start a process");
  if (pid == 0) RunChild(prepared, parent);

  failure->write.Close();
  MakeNonBlocking(input->write);
  MakeNonBlocking(output->read);
  MakeNonBlocking(errors->read);
  ChildProcess child(pid, Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
                     std::move(input->write), std::move(output->read), std::move(errors->read));
  int error_number = 0;
  ssize_t got = 0;
  do {
    got = ::read(failure->read.get(), &error_number, sizeof error_number);
  } while (got < 0 && errno == EINTR);
  if (got > 0) return ErrorStatus(error_number, fmt::format("cannot run {}", options.arguments[0]));
  if (!child.pid_fd_) return ErrorStatus(errno, "cannot watch a process");
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pid_fd_(std::move(other.pid_fd_)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      errors_(std::move(other.errors_)) {}

ChildProcess::~ChildProcess() {
  if (pid_ < 0) return;
  Signal(SIGKILL);
  Wait();
}

void ChildProcess::Signal(int signal) const {
  if (pid_ > 0) ::kill(-pid_, signal);
}

ProcessEnd ChildProcess::Wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFSIGNALED(status)) return {.exit_code = -1, .signal = WTERMSIG(status)};
  return {.exit_code = WEXITSTATUS(status), .signal = 0};
}

std::string ProcessEnd::ToString() const {
  return signal != 0 ? fmt::format("was killed by signal {}", signal)
                     : fmt::format("exited with {}", exit_code);
}

}  // namespace sluice::cli
