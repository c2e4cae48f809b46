// Starts a thread that belongs to the library and not to the program: with a name that tools show, and with
// all signals blocked, so that the program's own threads get them. Internal to the client.
#ifndef SLUICE_CLIENT_THREAD_H_
#define SLUICE_CLIENT_THREAD_H_

#include <functional>
#include <thread>

namespace sluice::client {

// `name` has at most 15 characters.
std::thread StartThread(const char* name, std::function<void()> run);

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_THREAD_H_
