#include "tests/support/stopped_thread.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/support/eventually.h"

namespace sluice::testing {
namespace {

std::string TaskFolder(pid_t process) { return "/proc/" + std::to_string(process) + "/task"; }

std::string FirstWord(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

pid_t Find(pid_t process, const std::string& name) {
  for (const auto& entry : std::filesystem::directory_iterator(TaskFolder(process))) {
    if (FirstWord(entry.path() / "comm") == name) return std::stoi(entry.path().filename());
  }
  throw std::runtime_error("there is no thread " + name);
}

}  // namespace

StoppedThread::StoppedThread(pid_t process, const std::string& name) : thread_(Find(process, name)) {
  const bool stopped = Eventually([&] {
    if (::ptrace(PTRACE_SEIZE, thread_, nullptr, nullptr) != 0 ||
        ::ptrace(PTRACE_INTERRUPT, thread_, nullptr, nullptr) != 0 ||
        ::waitpid(thread_, nullptr, __WALL) != thread_) {
      throw std::runtime_error("cannot stop the thread " + name);
    }
    const std::string call = FirstWord(TaskFolder(process) + "/" + std::to_string(thread_) + "/syscall");
    if (call == std::to_string(SYS_epoll_pwait2) || call == std::to_string(SYS_epoll_wait)) return true;
    ::ptrace(PTRACE_DETACH, thread_, nullptr, nullptr);
    return false;
  });
  if (!stopped) throw std::runtime_error("the thread " + name + " never waits");
}

StoppedThread::~StoppedThread() { ::ptrace(PTRACE_DETACH, thread_, nullptr, nullptr); }

}  // namespace sluice::testing
