#include "client/reason.h"

#include "protocol/names.h"

namespace sluice {
inline namespace client_v1 {

std::string_view ReasonName(Reason reason) {
  switch (reason) {
    case Reason::kConnectionLost:
      return "connection_lost";
    case Reason::kServerSilent:
      return "server_silent";
    case Reason::kBadServerFrame:
      return "bad_server_frame";
    case Reason::kConnectFailed:
      return "connect_failed";
    case Reason::kSubscribeRefused:
      return "subscribe_refused";
    default:
      return sluice::ReasonName(static_cast<v1::Reason>(static_cast<int>(reason)));
  }
}

bool IsSlowConsumer(Reason reason) {
  return sluice::IsSlowConsumer(static_cast<v1::Reason>(static_cast<int>(reason)));
}

std::string_view LagCauseName(LagCause cause) {
  return sluice::LagCauseName(static_cast<v1::LagCause>(static_cast<int>(cause)));
}

}  // namespace client_v1
}  // namespace sluice
