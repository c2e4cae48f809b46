#include "client/thread.h"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace sluice::client {

std::thread StartThread(const char* name, std::function<void()> run) {
  // A thread inherits the mask of the one that starts it.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(run));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread.native_handle(), name);
  return thread;
}

}  // namespace sluice::client
