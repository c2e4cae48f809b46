// The end of sd_notify(3) where the service manager sits. While there is one, NOTIFY_SOCKET in the environment of this
// process and of those it starts leads to it.
//
//   NotifySocket manager;
//   BrokerProcess broker;
//   EXPECT_THAT(manager.Next(), HasSubstr("READY=1"));
//
// Thread safety: one thread, and none other that looks at the environment while one comes or goes.
#ifndef SLUICE_TESTS_SUPPORT_NOTIFY_SOCKET_H_
#define SLUICE_TESTS_SUPPORT_NOTIFY_SOCKET_H_

#include <string>
#include <string_view>

#include "broker/net/file_descriptor.h"
#include "tests/support/temp_dir.h"

namespace sluice::testing {

class NotifySocket {
 public:
  NotifySocket();
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;
  ~NotifySocket();

  // The next message: lines such as "READY=1". Waits for it, and throws std::runtime_error after two minutes.
  std::string Next();
  // The next one that holds `text`; those before it are gone.
  std::string NextWith(std::string_view text);
  // Whether none is there.
  bool Empty() const;

 private:
  TempDir directory_;
  net::FileDescriptor socket_;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_NOTIFY_SOCKET_H_
