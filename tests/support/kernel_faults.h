// A kernel that says no, on demand: out of descriptors, or a system call that fails as it is told to.
#ifndef SLUICE_TESTS_SUPPORT_KERNEL_FAULTS_H_
#define SLUICE_TESTS_SUPPORT_KERNEL_FAULTS_H_

#include <sys/resource.h>

#include <functional>

namespace sluice::testing {

// While it lives this process can open no more descriptors than `free` (EMFILE). Those that are open stay so.
// Print nothing meanwhile, not even with SCOPED_TRACE: UBSan opens a pipe to look at an object that it does
// not know yet, and calls it broken when it cannot.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(int free = 0);
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;
  ~DescriptorLimit();

 private:
  rlimit before_ = {};
};

// Runs `work` to its end on a thread on which the system call `number` (SYS_accept4, …) does nothing and
// fails with `error`. No other thread is touched: the filter (seccomp) dies with that thread. Needs no
// privilege.
void RunWithFailingCall(long number, int error, const std::function<void()>& work);

// The same, but only the first `failures` of those calls fail. Returns how many were made in all.
int RunWithCallFailingAtFirst(long number, int error, int failures, const std::function<void()>& work);

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_KERNEL_FAULTS_H_
