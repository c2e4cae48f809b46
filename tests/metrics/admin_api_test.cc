#include "metrics/admin_api.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "protocol/sluice.pb.h"
#include "tests/metrics/fake_source.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using testing::FakeSource;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kToken = "a-token-of-a-test";

class AdminApiTest : public ::testing::Test {
 protected:
  HttpResponse Get(const std::string& path, const std::string& query = "") {
    return api_.Answer({"GET", path, query, ""});
  }
  nlohmann::json Json(const std::string& path, const std::string& query = "") {
    const HttpResponse response = Get(path, query);
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_STREQ(response.content_type, "application/json");
    return nlohmann::json::parse(response.body);
  }
  // What a request is refused with.
  std::string Error(int status, const HttpTarget& target) {
    const HttpResponse response = api_.Answer(target);
    EXPECT_EQ(response.status, status) << response.body;
    return nlohmann::json::parse(response.body)["error"];
  }
  std::string Error(int status, const std::string& path, const std::string& query = "") {
    return Error(status, HttpTarget{"GET", path, query, ""});
  }
  static std::string Bearer(const std::string& token) { return "Bearer " + token; }

  FakeSource source_;
  AdminApi api_{kToken, &source_};
};

SurveyedConsumer Behind() {
  SurveyedConsumer behind;
  behind.key = 5000;
  behind.consumer.set_id("0-7.1");
  behind.consumer.set_client_name("<b>dash\"7\"");
  behind.consumer.set_pending_bytes(5000);
  behind.consumer.set_limit_share(0.75);
  behind.consumer.mutable_lagging_since()->set_seconds(1'700'000'000);
  return behind;
}

TEST_F(AdminApiTest, ListsConsumersAsNumbersAndWords) {
  source_.SetConsumers({Behind()});
  SubscriptionDistributions all;
  all.subscriptions = 12;
  source_.SetDistributions(all);
  const nlohmann::json list = Json("/api/consumers");
  EXPECT_EQ(list["subscriptions"], 12);
  const nlohmann::json& consumer = list["consumers"][0];
  EXPECT_EQ(consumer["client_name"], "<b>dash\"7\"");
  EXPECT_TRUE(consumer["pending_bytes"].is_number());
  EXPECT_EQ(consumer["pending_bytes"], 5000);
  EXPECT_EQ(consumer["limit_share"], 0.75);
  EXPECT_EQ(consumer["dropped"], 0) << "zeros are written, too";
  EXPECT_EQ(consumer["lagging_since"], "2023-11-14T22:13:20Z");
  EXPECT_FALSE(consumer.contains("time_to_limit_seconds"));
  EXPECT_FALSE(consumer.contains("stalled_since"));
}

TEST_F(AdminApiTest, AsksForWhatTheQuerySays) {
  Json("/api/consumers");
  EXPECT_EQ(source_.last_request().sort, SurveyRequest::Sort::kPending);
  EXPECT_EQ(source_.last_request().consumers_max, 100u);
  EXPECT_EQ(source_.last_request().topic, "");
  Json("/api/consumers", "sort=stalled&limit=1000&topic=a.b");
  EXPECT_EQ(source_.last_request().sort, SurveyRequest::Sort::kStalled);
  EXPECT_EQ(source_.last_request().consumers_max, 1000u);
  EXPECT_EQ(source_.last_request().topic, "a.b");
  Json("/api/consumers", "sort=dropped");
  EXPECT_EQ(source_.last_request().sort, SurveyRequest::Sort::kDropped);
}

TEST_F(AdminApiTest, RefusesAQueryWithTheValueAndWhatIsAllowed) {
  EXPECT_EQ(Error(400, "/api/consumers", "sort=size"),
            "sort 'size' is not known; allowed: pending, age, dropped, stalled");
  for (const char* bad : {"0", "1001", "-1", "x", "", "1x", "99999999999999999999"}) {
    EXPECT_EQ(Error(400, "/api/consumers", fmt::format("limit={}", bad)),
              fmt::format("limit '{}' is not allowed; allowed: 1 to 1000", bad));
  }
  EXPECT_THAT(Error(400, "/api/consumers", "topic=a.*"), HasSubstr("without wildcards"));
  EXPECT_THAT(Error(400, "/api/consumers", "colour=red"), HasSubstr("allowed: sort, limit, topic"));
  EXPECT_EQ(source_.asked(), 0);
}

TEST_F(AdminApiTest, ShowsOneConsumerAndTheSubscriptionsOfASession) {
  source_.SetConsumers({Behind()});
  EXPECT_EQ(Json("/api/consumers/0-7.1")["id"], "0-7.1");
  EXPECT_EQ(source_.last_request().only, (ConsumerName{{0, 7}, 1}));
  EXPECT_EQ(Json("/api/consumers/0-7")["consumers"].size(), 1u);
  EXPECT_EQ(source_.last_request().only, (ConsumerName{{0, 7}, std::nullopt}));
  source_.SetConsumers({});
  EXPECT_EQ(Error(404, "/api/consumers/0-8.1"), "there is no consumer 0-8.1");
  EXPECT_EQ(Error(400, "/api/consumers/seven"), "'seven' is no id; one looks like 0-4294967297.1");
}

TEST_F(AdminApiTest, ListsEpisodes) {
  EXPECT_EQ(Json("/api/episodes")["episodes"].size(), 3u);
  EXPECT_EQ(Json("/api/episodes", "limit=2")["episodes"].size(), 2u);
  EXPECT_EQ(Json("/api/episodes")["episodes_total"], 3);
  EXPECT_THAT(Error(400, "/api/episodes", "limit=0"), HasSubstr("allowed: 1 to 1000"));
  EXPECT_THAT(Error(400, "/api/episodes", "sort=age"), HasSubstr("allowed: limit"));
}

TEST_F(AdminApiTest, ListsTopics) {
  EXPECT_EQ(Json("/api/topics", "limit=2")["topics"].size(), 2u);
  EXPECT_THAT(Error(400, "/api/topics", "limit=x"), HasSubstr("allowed: 1 to 1000"));
}

TEST_F(AdminApiTest, ShowsTheBroker) {
  source_.shards[0].messages_in.Add(3);
  source_.shards[1].messages_in.Add(4);
  source_.shards[1].sessions_ended[v1::REASON_WRITE_TIMEOUT].Add(2);
  source_.shards[1].sessions_ended[v1::REASON_CLIENT_CLOSED].Add(5);
  const nlohmann::json broker = Json("/api/broker");
  EXPECT_EQ(broker["version"], "1.2.3");
  EXPECT_EQ(broker["messages_received"], 7);
  EXPECT_EQ(broker["slow_consumer_disconnects"], 2);
  EXPECT_EQ(broker["retained_bytes"], 4096);
  EXPECT_EQ(broker["default_limits"]["pending_bytes_max"], 8e6);
  EXPECT_EQ(broker["shards"], 2);
  EXPECT_EQ(broker["actions_enabled"], true);
}

TEST_F(AdminApiTest, DisconnectsWhoeverIsNamed) {
  source_.SetSessions({{0, 7}});
  const HttpTarget target = {"DELETE", "/api/consumers/0-7.1", "", Bearer(kToken)};
  EXPECT_EQ(api_.Answer(target).status, 200);
  EXPECT_THAT(source_.kicked(), ElementsAre(SessionName{0, 7}));
  EXPECT_EQ(Error(404, {"DELETE", "/api/consumers/0-8", "", Bearer(kToken)}), "there is no session 0-8");
  EXPECT_THAT(Error(400, {"DELETE", "/api/consumers/x", "", Bearer(kToken)}), HasSubstr("no id"));
  source_.SetShards(FakeSource::Shards::kOneIsStuck);
  EXPECT_THAT(Error(503, target), HasSubstr("does not answer"));
}

TEST_F(AdminApiTest, DrainsTheBroker) {
  EXPECT_EQ(api_.Answer({"POST", "/api/drain", "", Bearer(kToken)}).status, 200);
  EXPECT_EQ(source_.drains(), 1);
}

TEST_F(AdminApiTest, ChangesNothingWithoutTheToken) {
  source_.SetSessions({{0, 7}});
  AdminApi closed("", &source_);
  for (const auto& [method, path] :
       {std::pair("DELETE", "/api/consumers/0-7"), std::pair("POST", "/api/drain")}) {
    for (const std::string& wrong :
         {std::string(), std::string("Bearer"), Bearer(""), Bearer("a-token-of-a-tesT"),
          Bearer("a-token-of-a-tes"), std::string(kToken), "Basic " + std::string(kToken),
          Bearer(std::string(kToken) + " ")}) {
      const HttpResponse response = api_.Answer({method, path, "", wrong});
      EXPECT_EQ(response.status, 401) << wrong;
      EXPECT_THAT(response.fields, HasSubstr("WWW-Authenticate: Bearer"));
    }
    const HttpResponse off = closed.Answer({method, path, "", Bearer("")});
    EXPECT_EQ(off.status, 403);
    EXPECT_THAT(off.body, HasSubstr("--http-token-file"));
  }
  EXPECT_THAT(source_.kicked(), IsEmpty());
  EXPECT_EQ(source_.drains(), 0);
}

TEST_F(AdminApiTest, SaysWhichMethodsAndPathsThereAre) {
  EXPECT_THAT(api_.Answer({"POST", "/api/consumers", "", ""}).fields, HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_THAT(api_.Answer({"PUT", "/api/consumers/0-7", "", ""}).fields,
              HasSubstr("Allow: GET, HEAD, DELETE\r\n"));
  EXPECT_THAT(api_.Answer({"GET", "/api/drain", "", ""}).fields, HasSubstr("Allow: POST\r\n"));
  EXPECT_EQ(api_.Answer({"DELETE", "/api/broker", "", ""}).status, 405);
  EXPECT_THAT(Error(404, "/api/"), HasSubstr("/api/consumers"));
  EXPECT_THAT(Error(404, "/api/consumersx"), HasSubstr("/api/consumers"));
}

}  // namespace
}  // namespace sluice
