#include "tests/support/kernel_faults.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broker/net/error_text.h"
#include "broker/net/file_descriptor.h"

namespace sluice::testing {
namespace {

void Require(bool done, const std::string& what) {
  if (!done) throw std::runtime_error(what + ": " + net::ErrorText(errno));
}

// Does `action` (SECCOMP_RET_…) at the system call `number`, and lets every other one pass.
class Filter {
 public:
  Filter(long number, uint32_t action)
      : instructions_{{
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
            BPF_STMT(BPF_RET | BPF_K, action),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        }} {}
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  const sock_fprog* program() const { return &program_; }

 private:
  std::array<sock_filter, 4> instructions_;
  sock_fprog program_ = {.len = static_cast<uint16_t>(instructions_.size()), .filter = instructions_.data()};
};

}  // namespace

DescriptorLimit::DescriptorLimit(int free) {
  Require(::getrlimit(RLIMIT_NOFILE, &before_) == 0, "getrlimit");
  // The kernel gives out the lowest number that is free, and the limit bounds numbers: fill every hole, then
  // the limit is one past the last of `free` more.
  std::vector<net::FileDescriptor> fillers;
  for (int i = 0; i <= free; ++i) {
    fillers.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    Require(static_cast<bool>(fillers.back()), "open");
  }
  rlimit limit = before_;
  limit.rlim_cur = static_cast<rlim_t>(fillers.back().get());
  Require(::setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

DescriptorLimit::~DescriptorLimit() { static_cast<void>(::setrlimit(RLIMIT_NOFILE, &before_)); }

void RunWithFailingCall(long number, int error, const std::function<void()>& work) {
  std::thread thread([&] {
    Filter filter(number, SECCOMP_RET_ERRNO | (static_cast<uint32_t>(error) & SECCOMP_RET_DATA));
    Require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl(PR_SET_NO_NEW_PRIVS)");
    Require(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter.program()) == 0, "prctl(PR_SET_SECCOMP)");
    work();
  });
  thread.join();
}

int RunWithCallFailingAtFirst(long number, int error, int failures, const std::function<void()>& work) {
  std::promise<net::FileDescriptor> handed_over;
  std::thread thread([&] {
    Filter filter(number, SECCOMP_RET_USER_NOTIF);
    Require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl(PR_SET_NO_NEW_PRIVS)");
    net::FileDescriptor listener(static_cast<int>(
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, filter.program())));
    Require(static_cast<bool>(listener), "seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER)");
    handed_over.set_value(std::move(listener));
    work();
  });
  // Every such call of that thread stands still until it is answered here; its end hangs up.
  const net::FileDescriptor listener = handed_over.get_future().get();
  int calls = 0;
  pollfd ready = {.fd = listener.get(), .events = POLLIN, .revents = 0};
  while (::poll(&ready, 1, -1) >= 0 || errno == EINTR) {
    if ((ready.revents & POLLIN) == 0) {
      if ((ready.revents & POLLHUP) != 0) break;
      continue;
    }
    seccomp_notif call = {};
    if (::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
    seccomp_notif_resp answer = {};
    answer.id = call.id;
    if (++calls <= failures) {
      answer.error = -error;
    } else {
      answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    }
    static_cast<void>(::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer));
  }
  thread.join();
  return calls;
}

}  // namespace sluice::testing
