// sluiced: starts a Broker from the command line, and ends it at a signal.
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <memory>
#include <string>
#include <system_error>

#include "broker/broker.h"
#include "broker/config.h"
#include "broker/log.h"
#include "broker/service_manager.h"

namespace sluice {
namespace {

constexpr int kExitFailure = 1;
// sysexits(3): what a supervisor may want to tell apart.
constexpr int kExitUnavailable = 69;
constexpr int kExitNoPermission = 77;

sigset_t SignalsToWaitFor() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

// 0: none came in that time.
int WaitForSignal(const sigset_t& signals, absl::Duration wait_max) {
  const timespec wait = absl::ToTimespec(wait_max);
  return std::max(0, ::sigtimedwait(&signals, nullptr, &wait));
}

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnavailable:
      return kExitUnavailable;
    case absl::StatusCode::kPermissionDenied:
      return kExitNoPermission;
    case absl::StatusCode::kInvalidArgument:
      return kExitConfig;
    default:
      return kExitFailure;
  }
}

// Whole or not at all: whoever waits for the file never reads half of it.
absl::Status WritePortsFile(const std::string& path, const Broker& broker) {
  const std::string draft = fmt::format("{}.{}", path, ::getpid());
  std::ofstream file(draft, std::ios::trunc);
  file << "listen=" << broker.client_address() << '\n';
  if (!broker.http_address().empty()) file << "http=" << broker.http_address() << '\n';
  file.close();
  if (file && std::rename(draft.c_str(), path.c_str()) == 0) return absl::OkStatus();
  const std::string why = std::generic_category().message(errno);
  std::remove(draft.c_str());
  return absl::PermissionDeniedError(fmt::format("cannot write the ports file {}: {}", path, why));
}

int Fail(const absl::Status& status) {
  fmt::print(stderr, "sluiced: {}\n", std::string(status.message()));
  return ExitCodeOf(status);
}

// What the broker was started with, read once more: flags stay what they were, the file may have changed. Returns what
// there is to say about it besides the log.
std::string Reload(int argc, const char* const* argv, Broker* broker, Logger* log) {
  const CommandLine command = ParseCommandLine(argc, argv);
  if (command.next == NextStep::kRun) {
    broker->Reload(command.config);
    return "";
  }
  log->Error("configuration not read again: everything stays as it was", {{"problems", command.text}});
  return "; the configuration has problems and was not read again: see the log";
}

int Serve(const Config& config, int argc, const char* const* argv) {
  // Blocked before any thread is started, so that every thread inherits it and only this one takes them.
  const sigset_t signals = SignalsToWaitFor();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  // It writes a line of its own to standard error for each text of a client that is not UTF-8.
  google::protobuf::SetLogHandler(nullptr);

  const std::unique_ptr<Logger> log = Logger::ToStderr(config.log_level, config.log_format);
  for (const std::string& note : config.notes) log->Info(note);
  absl::StatusOr<std::unique_ptr<Broker>> broker = Broker::Start(config, log.get());
  if (!broker.ok()) return Fail(broker.status());
  const std::string& http = (*broker)->http_address();
  if (!config.ports_file.empty()) {
    if (const absl::Status written = WritePortsFile(config.ports_file, **broker); !written.ok()) {
      return Fail(written);
    }
  }
  log->Info("serving", {{"version", SLUICE_VERSION},
                        {"listen", (*broker)->client_address()},
                        {"http", http.empty() ? Config::kOff : http}});

  ServiceManager manager(log.get());
  const std::string serving = fmt::format("serving clients on {}, HTTP {}", (*broker)->client_address(),
                                          http.empty() ? Config::kOff : http);
  manager.Serving(serving);

  int signal = 0;
  while (signal != SIGTERM && signal != SIGINT) {
    manager.FeedWatchdog((*broker)->Healthy());
    signal = WaitForSignal(signals, manager.feed_interval());
    if (signal == SIGHUP) {
      manager.Reloading();
      manager.Serving(serving + Reload(argc, argv, broker->get(), log.get()));
    }
  }
  const absl::Duration drain_timeout = (*broker)->config().drain_timeout;
  log->Info("going down: delivering what is queued",
            {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}, {"drain_timeout", drain_timeout}});
  manager.Stopping(drain_timeout + (*broker)->config().goodbye_timeout);
  // A second one means: now. There is nothing left to reload for.
  ::signal(SIGHUP, SIG_IGN);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*broker)->Drain();
  (*broker)->Wait();
  if (!config.ports_file.empty()) std::remove(config.ports_file.c_str());
  log->Info("stopped");
  return 0;
}

int Main(int argc, const char* const* argv) {
  const CommandLine command = ParseCommandLine(argc, argv);
  switch (command.next) {
    case NextStep::kPrintAndExit:
      fmt::print("{}", command.text);
      return 0;
    case NextStep::kFail:
      fmt::print(stderr, "{}", command.text);
      return command.exit_code;
    case NextStep::kRun:
      return Serve(command.config, argc, argv);
  }
  return kExitFailure;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
