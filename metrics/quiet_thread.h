// A thread on which no signal is delivered: signals are for the process's other threads, which know what to
// do about them. Internal to metrics.
#ifndef SLUICE_METRICS_QUIET_THREAD_H_
#define SLUICE_METRICS_QUIET_THREAD_H_

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace sluice {

// Starts `run` on it. `name` (at most 15 bytes) is what top -H shows. Throws std::system_error when the
// system has no thread for it.
template <typename Run>
std::thread QuietThread(const char* name, Run run) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  try {
    thread = std::thread(std::move(run));
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_setname_np(thread.native_handle(), name);
  return thread;
}

}  // namespace sluice

#endif  // SLUICE_METRICS_QUIET_THREAD_H_
