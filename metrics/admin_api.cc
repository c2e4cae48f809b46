#include "metrics/admin_api.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <array>
#include <charconv>
#include <utility>

#include "metrics/http_query.h"
#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(1);
constexpr size_t kListDefault = 100;
constexpr size_t kListMax = 1000;
constexpr const char* kJsonContentType = "application/json";
constexpr std::string_view kConsumersPath = "/api/consumers/";

HttpResponse Json(const google::protobuf::Message& message, int status = 200) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    return {500, "{\"error\":\"the answer cannot be written as JSON\"}\n", kJsonContentType};
  }
  return {status, json + "\n", kJsonContentType};
}

HttpResponse Fail(int status, std::string error) {
  admin::Failure failure;
  failure.set_error(std::move(error));
  return Json(failure, status);
}

HttpResponse FailMethod(const std::string& allowed) {
  HttpResponse response = Fail(405, fmt::format("only {}", allowed));
  response.fields = MethodNotAllowed(allowed).fields;
  return response;
}

HttpResponse FailNoShard() { return Fail(503, "its shard does not answer; see /healthz"); }

struct SortName {
  std::string_view name;
  SurveyRequest::Sort sort;
};
constexpr std::array kSortNames = {
    SortName{"pending", SurveyRequest::Sort::kPending}, SortName{"age", SurveyRequest::Sort::kAge},
    SortName{"dropped", SurveyRequest::Sort::kDropped}, SortName{"stalled", SurveyRequest::Sort::kStalled}};

// nullopt: there is no such order.
std::optional<SurveyRequest::Sort> ParseSort(std::string_view text) {
  for (const auto& [name, sort] : kSortNames) {
    if (name == text) return sort;
  }
  return std::nullopt;
}

// Of a list's length.
absl::StatusOr<size_t> LimitOf(const HttpQuery& query) {
  const std::optional<std::string_view> text = query.Get("limit");
  if (!text.has_value()) return kListDefault;
  size_t limit = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (error == std::errc() && end == text->data() + text->size() && limit >= 1 && limit <= kListMax)
    return limit;
  return absl::InvalidArgumentError(
      fmt::format("limit '{}' is not allowed; allowed: 1 to {}", Printable(*text), kListMax));
}

absl::StatusOr<size_t> OnlyLimitOf(std::string_view query) {
  constexpr std::array<std::string_view, 1> kKnown = {"limit"};
  const absl::StatusOr<HttpQuery> asked = HttpQuery::Parse(query, kKnown);
  if (!asked.ok()) return asked.status();
  return LimitOf(*asked);
}

// Takes as long whatever the two have in common.
bool SameSecret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned different = 0;
  for (size_t i = 0; i < a.size(); ++i) different |= static_cast<unsigned char>(a[i] ^ b[i]);
  return different == 0;
}

}  // namespace

HttpResponse AdminApi::Answer(const HttpTarget& target) {
  const bool get = target.method == "GET";
  if (target.path == "/api/consumers") return get ? ListConsumers(target.query) : FailMethod("GET, HEAD");
  if (target.path.starts_with(kConsumersPath)) {
    const std::string_view id = std::string_view(target.path).substr(kConsumersPath.size());
    if (get) return ShowConsumer(id);
    if (target.method != "DELETE") return FailMethod("GET, HEAD, DELETE");
    if (std::optional<HttpResponse> refusal = Refusal(target)) return *std::move(refusal);
    return KickConsumer(id);
  }
  if (target.path == "/api/episodes") return get ? ListEpisodes(target.query) : FailMethod("GET, HEAD");
  if (target.path == "/api/topics") return get ? ListTopics(target.query) : FailMethod("GET, HEAD");
  if (target.path == "/api/broker") return get ? ShowBroker() : FailMethod("GET, HEAD");
  if (target.path == "/api/drain") {
    if (target.method != "POST") return FailMethod("POST");
    if (std::optional<HttpResponse> refusal = Refusal(target)) return *std::move(refusal);
    return Drain();
  }
  return Fail(404,
              "not here: try /api/consumers, /api/consumers/ID, /api/episodes, /api/topics or /api/broker");
}

HttpResponse AdminApi::ListConsumers(std::string_view query) {
  constexpr std::array<std::string_view, 3> kKnown = {"sort", "limit", "topic"};
  const absl::StatusOr<HttpQuery> asked = HttpQuery::Parse(query, kKnown);
  if (!asked.ok()) return Fail(400, std::string(asked.status().message()));

  const absl::StatusOr<size_t> limit = LimitOf(*asked);
  if (!limit.ok()) return Fail(400, std::string(limit.status().message()));

  SurveyRequest request;
  request.consumers_max = *limit;
  if (const auto text = asked->Get("sort"); text.has_value()) {
    const std::optional<SurveyRequest::Sort> sort = ParseSort(*text);
    if (!sort.has_value()) {
      return Fail(400, fmt::format("sort '{}' is not known; allowed: pending, age, dropped, stalled",
                                   Printable(*text)));
    }
    request.sort = *sort;
  }
  if (const auto text = asked->Get("topic"); text.has_value() && !text->empty()) {
    if (!IsValidTopic(*text)) {
      return Fail(400,
                  fmt::format("topic '{}' is none: one without wildcards is asked for, that filters match",
                              Printable(*text)));
    }
    request.topic = *text;
  }
  SurveyAnswer answer = source_->Survey(request, kAskTimeout);
  admin::ConsumerList list;
  list.set_subscriptions(static_cast<double>(answer.distributions.subscriptions));
  list.set_shards_missing(answer.distributions.shards_missing);
  for (SurveyedConsumer& found : answer.consumers) *list.add_consumers() = std::move(found.consumer);
  return Json(list);
}

HttpResponse AdminApi::ShowConsumer(std::string_view id) {
  SurveyRequest request;
  request.only = ConsumerName::Parse(id);
  if (!request.only.has_value()) {
    return Fail(400, fmt::format("'{}' is no id; one looks like 0-4294967297.1", Printable(id)));
  }
  request.consumers_max = request.only->subscription.has_value() ? 1 : kListMax;
  SurveyAnswer answer = source_->Survey(request, kAskTimeout);
  if (answer.consumers.empty()) {
    if (answer.distributions.shards_missing > 0) return FailNoShard();
    return Fail(404, fmt::format("there is no consumer {}", Printable(id)));
  }
  if (request.only->subscription.has_value()) return Json(answer.consumers.front().consumer);
  admin::ConsumerList list;
  list.set_subscriptions(static_cast<double>(answer.consumers.size()));
  for (SurveyedConsumer& found : answer.consumers) *list.add_consumers() = std::move(found.consumer);
  return Json(list);
}

HttpResponse AdminApi::KickConsumer(std::string_view id) {
  const std::optional<ConsumerName> name = ConsumerName::Parse(id);
  if (!name.has_value()) {
    return Fail(400, fmt::format("'{}' is no id; one looks like 0-4294967297.1", Printable(id)));
  }
  const absl::Status kicked = source_->Kick(name->session, kAskTimeout);
  if (absl::IsNotFound(kicked))
    return Fail(404, fmt::format("there is no session {}", name->session.ToString()));
  if (!kicked.ok()) return FailNoShard();
  admin::Done done;
  done.set_text(fmt::format("session {} is told to go", name->session.ToString()));
  return Json(done);
}

HttpResponse AdminApi::ListEpisodes(std::string_view query) {
  const absl::StatusOr<size_t> limit = OnlyLimitOf(query);
  if (!limit.ok()) return Fail(400, std::string(limit.status().message()));
  return Json(source_->ListEpisodes(*limit));
}

HttpResponse AdminApi::ListTopics(std::string_view query) {
  const absl::StatusOr<size_t> limit = OnlyLimitOf(query);
  if (!limit.ok()) return Fail(400, std::string(limit.status().message()));
  return Json(source_->ListTopics(*limit, kAskTimeout));
}

HttpResponse AdminApi::ShowBroker() {
  admin::BrokerInfo info = source_->Describe();
  const std::vector<const ShardCounters*> shards = source_->Counters();
  const auto sum = [&shards](auto member) {
    double total = 0;
    for (const ShardCounters* shard : shards) total += static_cast<double>((shard->*member).Get());
    return total;
  };
  using S = ShardCounters;
  info.set_connections(sum(&S::connections_open));
  info.set_subscriptions(sum(&S::subscriptions));
  info.set_lagging_subscriptions(sum(&S::lagging_subscriptions));
  info.set_blocking_subscriptions(sum(&S::blocking_subscriptions));
  info.set_blocked_publishers(sum(&S::publishers_blocked));
  info.set_messages_received(sum(&S::messages_in));
  info.set_message_received_bytes(sum(&S::message_bytes_in));
  info.set_messages_delivered(sum(&S::messages_out));
  info.set_message_delivered_bytes(sum(&S::message_bytes_out));
  info.set_messages_dropped(sum(&S::messages_dropped));
  info.set_messages_conflated(sum(&S::messages_conflated));
  info.set_lagging_episodes(sum(&S::lagging_episodes));
  info.set_pending_bytes(sum(&S::pending_bytes));
  info.set_pending_messages(sum(&S::pending_messages));
  double disconnects = 0;
  for (const v1::Reason reason : AllReasons()) {
    if (!IsSlowConsumer(reason)) continue;
    for (const ShardCounters* shard : shards) {
      disconnects += static_cast<double>(shard->sessions_ended[static_cast<size_t>(reason)].Get());
    }
  }
  info.set_slow_consumer_disconnects(disconnects);
  const MemoryUse memory = source_->Memory();
  info.set_retained_bytes(static_cast<double>(memory.retained_bytes));
  info.set_memory_budget_bytes(static_cast<double>(memory.budget_bytes));
  info.set_shards(static_cast<double>(shards.size()));
  info.set_actions_enabled(!actions_token_.empty());
  return Json(info);
}

HttpResponse AdminApi::Drain() {
  source_->BeginDrain();
  admin::Done done;
  done.set_text("draining: no new client is taken, what is queued is delivered, and then the broker ends");
  return Json(done);
}

std::optional<HttpResponse> AdminApi::Refusal(const HttpTarget& target) const {
  if (actions_token_.empty()) {
    return Fail(403, "nothing can be changed here: start sluiced with --http-token-file to allow it");
  }
  constexpr std::string_view kScheme = "Bearer ";
  const std::string_view given = target.authorization;
  if (given.starts_with(kScheme) && SameSecret(given.substr(kScheme.size()), actions_token_)) {
    return std::nullopt;
  }
  HttpResponse response = Fail(
      401, given.empty() ? "a token is needed: 'Authorization: Bearer TOKEN'" : "the token is a wrong one");
  response.fields = "WWW-Authenticate: Bearer\r\n";
  return response;
}

}  // namespace sluice
