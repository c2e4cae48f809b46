// A thread of another process that stands still, as if the kernel gave it no processor, while the others go on.
//
//   StoppedThread stopped(broker.pid(), "shard-0");
//   EXPECT_THAT(broker.WaitForLog("not fed any more"), HasSubstr("shard 0"));
//
// By ptrace(2): the process must be a child of ours, or we root; and it is one thread of ours that makes it and ends
// it.
#ifndef SLUICE_TESTS_SUPPORT_STOPPED_THREAD_H_
#define SLUICE_TESTS_SUPPORT_STOPPED_THREAD_H_

#include <sys/types.h>

#include <string>

namespace sluice::testing {

class StoppedThread {
 public:
  // Stops it where it waits for events, and holds no lock that others need. Throws std::runtime_error when there is no
  // thread of that name, or when it does not wait within two minutes.
  StoppedThread(pid_t process, const std::string& name);
  StoppedThread(const StoppedThread&) = delete;
  StoppedThread& operator=(const StoppedThread&) = delete;
  // It goes on.
  ~StoppedThread();

 private:
  const pid_t thread_;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_STOPPED_THREAD_H_
