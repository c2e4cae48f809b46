// What operators ask over HTTP, below /api/: JSON made of the messages in protocol/admin.proto, documented by
// deploy/openapi.json. Internal to metrics.
//
//   AdminApi api(token, &source);
//   HttpResponse response = api.Answer({"GET", "/api/consumers", "sort=age&limit=20"});
//
// GET needs no permission; what changes something (DELETE /api/consumers/ID, POST /api/drain) does: the token, as
// `Authorization: Bearer TOKEN` (RFC 6750). Every answer that is no 200 is a Failure that says what to do.
//
// Thread safety: one thread. Waits for shards, a second at most.
#ifndef SLUICE_METRICS_ADMIN_API_H_
#define SLUICE_METRICS_ADMIN_API_H_

#include <optional>
#include <string>
#include <string_view>

#include "metrics/exporter.h"
#include "metrics/http_pages.h"

namespace sluice {

class AdminApi {
 public:
  // An empty token: nothing can be changed. `source` outlives it.
  AdminApi(std::string actions_token, SnapshotSource* source)
      : actions_token_(std::move(actions_token)), source_(source) {}

  HttpResponse Answer(const HttpTarget& target);

 private:
  HttpResponse ListConsumers(std::string_view query);
  HttpResponse ShowConsumer(std::string_view id);
  HttpResponse KickConsumer(std::string_view id);
  HttpResponse ListEpisodes(std::string_view query);
  HttpResponse ListTopics(std::string_view query);
  HttpResponse ShowBroker();
  HttpResponse Drain();
  // Why it may not be done; nullopt: it may.
  std::optional<HttpResponse> Refusal(const HttpTarget& target) const;

  const std::string actions_token_;
  SnapshotSource* const source_;
};

}  // namespace sluice

#endif  // SLUICE_METRICS_ADMIN_API_H_
