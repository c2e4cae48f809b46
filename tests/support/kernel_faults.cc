#include "tests/support/kernel_faults.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "broker/net/error_text.h"
#include "broker/net/file_descriptor.h"

namespace sluice::testing {
namespace {

void Require(bool done, const std::string& what) {
  if (!done) throw std::runtime_error(what + ": " + net::ErrorText(errno));
}

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
    const uint32_t refusal = SECCOMP_RET_ERRNO | (static_cast<uint32_t>(error) & SECCOMP_RET_DATA);
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, refusal),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
    Require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl(PR_SET_NO_NEW_PRIVS)");
    Require(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0, "prctl(PR_SET_SECCOMP)");
    work();
  });
  thread.join();
}

}  // namespace sluice::testing
