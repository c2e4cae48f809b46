// The I/O thread: connects, keeps a session as long as it lasts, tells what became of it, waits, connects
// again. Internal to the client.
//
// Thread safety: Run() is the I/O thread; nothing else is called meanwhile.
#ifndef SLUICE_CLIENT_CONNECTION_H_
#define SLUICE_CLIENT_CONNECTION_H_

#include <memory>
#include <string>
#include <vector>

#include "client/backoff.h"
#include "client/session.h"
#include "client/url.h"

namespace sluice::client {

class Connection {
 public:
  Connection(const IoParts& parts, std::vector<Server> servers, uint64_t seed);

  // Until the user closes, or gives up for him what the options say to give up.
  void Run();

 private:
  // Tries each server once. Null: no session with any, why not with the last, and whether to try again.
  std::unique_ptr<Session> OpenAny(absl::Status* why, Again* again);
  void RunSession(Session* session);
  void BeginSession(const Session& session);
  void EndSession(const SessionEnd& end);
  void TellConnected(const ServerInfo& server, const v1::Connected& connected);
  std::vector<SubscriptionLoss> Settle(const v1::Goodbye& goodbye) const;
  // Waits until the next attempt may begin, or the user closes.
  void Pause(absl::Duration delay);
  bool Closing() const;
  void Finish();

  const IoParts parts_;
  const std::vector<Server> servers_;
  Backoff backoff_;

  size_t next_server_ = 0;
  uint64_t sessions_ = 0;
  // The broker asked us to stay away so long.
  absl::Duration retry_after_;
  std::string previous_session_;
  // Of a session that ended without numbers, until the broker says them.
  std::vector<UnsettledBooks> unsettled_;
  // Why it is over, when that was not the user's wish.
  absl::Status given_up_;
  uint64_t unknown_at_close_ = 0;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_CONNECTION_H_
