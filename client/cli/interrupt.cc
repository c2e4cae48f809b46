#include "client/cli/interrupt.h"

#include <sys/signalfd.h>

#include <cerrno>
#include <initializer_list>
#include <system_error>

namespace sluice::cli {
namespace {

bool IsIgnored(int signal) {
  struct sigaction action = {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

Interrupt::Interrupt() {
  sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (!IsIgnored(signal)) sigaddset(&signals_, signal);
  }
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signal_fd_ = Descriptor(::signalfd(-1, &signals_, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signal_fd_) throw std::system_error(errno, std::generic_category(), "cannot create a signalfd");
  thread_ = std::thread([this] { Listen(); });
}

Interrupt::~Interrupt() {
  stop_.Set();
  thread_.join();
}

std::optional<ExitCode> Interrupt::exit_code() const {
  switch (signal_.load()) {
    case 0:
      return std::nullopt;
    case SIGHUP:
      return ExitCode::kHangup;
    case SIGTERM:
      return ExitCode::kTerminated;
    default:
      return ExitCode::kInterrupted;
  }
}

void Interrupt::Listen() {
  signalfd_siginfo info = {};
  do {
    if (WaitFor({stop_.fd(), signal_fd_.get()}).has(0)) return;
  } while (::read(signal_fd_.get(), &info, sizeof info) != sizeof info);
  signal_.store(static_cast<int>(info.ssi_signo));
  came_.Set();
  // The second one is for the system, also while the other threads are stuck.
  pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
  WaitFor({stop_.fd()});
}

}  // namespace sluice::cli
