#include "tests/support/prometheus_server.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "broker/net/listener_socket.h"
#include "tests/support/http_client.h"

namespace sluice::testing {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);
constexpr absl::Duration kBetweenQuestions = absl::Milliseconds(50);

// Free now; somebody may take it before Prometheus does, which is then started again on another one.
uint16_t FreePort() {
  const absl::StatusOr<net::ListenerSocket> listener = net::ListenerSocket::Listen({"127.0.0.1", 0}, 1);
  if (!listener.ok()) throw std::runtime_error(listener.status().ToString());
  return listener->port();
}

std::string ReplaceOnce(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("prometheus.yml does not say " + std::string(from));
  return text.replace(at, from.size(), to);
}

std::string UrlEncoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  return encoded;
}

}  // namespace

PrometheusServer::PrometheusServer(uint16_t target_port) {
  std::string config = ReadFile(SLUICE_DEPLOY_DIR "/prometheus/prometheus.yml");
  config = ReplaceOnce(std::move(config), "scrape_interval: 15s", "scrape_interval: 1s");
  config = ReplaceOnce(std::move(config), "scrape_timeout: 10s", "scrape_timeout: 1s");
  config = ReplaceOnce(std::move(config), "127.0.0.1:7585", fmt::format("127.0.0.1:{}", target_port));
  const std::string file = dir_.Write("prometheus.yml", config);

  const absl::Time until = absl::Now() + kPatience;
  while (absl::Now() < until) {
    if (prometheus_ == nullptr || !prometheus_->running()) {
      if (prometheus_ != nullptr) prometheus_->Wait();  // throws when there is no such program
      port_ = FreePort();
      prometheus_ = std::make_unique<Command>(std::vector<std::string>{
          "prometheus", "--config.file=" + file, "--storage.tsdb.path=" + dir_.path() + "/data",
          fmt::format("--web.listen-address=127.0.0.1:{}", port_)});
    }
    absl::SleepFor(kBetweenQuestions);
    try {
      if (HttpGet(port_, "/-/ready").status == 200) return;
    } catch (const std::runtime_error&) {  // it does not listen yet
    }
  }
  throw std::runtime_error("prometheus did not become ready:\n" + prometheus_->output());
}

nlohmann::json PrometheusServer::Ask(std::string_view path, std::string_view parameter,
                                     std::string_view value) {
  const HttpReply reply = HttpGet(port_, fmt::format("/api/v1/{}?{}={}", path, parameter, UrlEncoded(value)));
  nlohmann::json answer = nlohmann::json::parse(reply.body);
  if (answer["status"] != "success") throw std::runtime_error(fmt::format("{}: {}", value, reply.body));
  return answer["data"];
}

std::vector<PrometheusServer::Sample> PrometheusServer::Query(std::string_view query) {
  std::vector<Sample> samples;
  const nlohmann::json data = Ask("query", "query", query);
  for (const nlohmann::json& result : data["result"]) {
    samples.push_back({result["metric"], std::stod(result["value"][1].get<std::string>())});
  }
  return samples;
}

void PrometheusServer::WaitFor(std::string_view query, double value) {
  const absl::Time until = absl::Now() + kPatience;
  std::string last = "no sample";
  while (absl::Now() < until) {
    const std::vector<Sample> samples = Query(query);
    if (samples.size() == 1 && samples[0].value == value) return;
    last = samples.empty() ? "no sample"
                           : fmt::format("{} samples, the first {}", samples.size(), samples[0].value);
    absl::SleepFor(kBetweenQuestions);
  }
  throw std::runtime_error(fmt::format("{} is not {} but {}\n{}", query, value, last, prometheus_->output()));
}

PrometheusServer::Metadata PrometheusServer::MetadataOf(std::string_view metric) {
  const nlohmann::json data = Ask("targets/metadata", "metric", metric);
  if (data.size() != 1) throw std::runtime_error(fmt::format("{} has no metadata", metric));
  return {data[0]["type"], data[0]["help"]};
}

}  // namespace sluice::testing
