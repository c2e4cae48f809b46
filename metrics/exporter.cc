#include "metrics/exporter.h"

#include <fmt/format.h>
#include <prometheus/text_serializer.h>

#include <iterator>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "broker/net/address.h"
#include "metrics/admin_api.h"
#include "metrics/families.h"
#include "metrics/http_pages.h"
#include "metrics/http_server.h"
#include "metrics/process.h"
#include "metrics/status_page.h"

namespace sluice {
namespace {

// Under the second that the most impatient scrapers wait.
constexpr absl::Duration kAskTimeout = absl::Milliseconds(250);
constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

HttpResponse FromStatus(const absl::Status& status) {
  if (status.ok()) return {200, "ok\n"};
  return {503, fmt::format("{}\n", std::string(status.message()))};
}

HttpResponse StatusPage() {
  return {200, std::string(StatusPageHtml()), "text/html; charset=utf-8",
          fmt::format("Content-Security-Policy: {}\r\nReferrer-Policy: no-referrer\r\n", StatusPageCsp())};
}

}  // namespace

class Exporter::Pages : public HttpPages {
 public:
  Pages(ExporterOptions options, SnapshotSource* source)
      : options_(std::move(options)), source_(source), api_(options_.actions_token, source) {}

  std::optional<HttpResponse> Page(const HttpRequest& request) override;
  HttpResponse SlowPage(const HttpTarget& target) override;

 private:
  HttpResponse Metrics();

  const ExporterOptions options_;
  SnapshotSource* const source_;
  // Of the thread that builds slow pages.
  AdminApi api_;
  ProcessReader process_;
};

std::optional<HttpResponse> Exporter::Pages::Page(const HttpRequest& request) {
  if (request.path.starts_with("/api/")) return std::nullopt;
  if (request.method != "GET") return MethodNotAllowed("GET, HEAD");
  if (request.path == "/") return StatusPage();
  if (request.path == "/metrics") return std::nullopt;
  if (request.path == "/healthz") return FromStatus(source_->Healthy());
  if (request.path == "/readyz") return FromStatus(source_->Ready());
  return HttpResponse{404, "not here: try /, /metrics, /healthz, /readyz or /api/consumers\n"};
}

HttpResponse Exporter::Pages::SlowPage(const HttpTarget& target) {
  return target.path == "/metrics" ? Metrics() : api_.Answer(target);
}

HttpResponse Exporter::Pages::Metrics() {
  std::vector<prometheus::MetricFamily> families = CounterFamilies(source_->Counters());
  const auto append = [&families](std::vector<prometheus::MetricFamily> more) {
    families.insert(families.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
  };
  SurveyRequest request;
  request.consumers_max = options_.top_consumers;
  const SurveyAnswer survey = source_->Survey(request, kAskTimeout);
  append(BrokerFamilies(options_.build, survey.distributions, source_->Memory()));
  append(ConsumerFamilies(survey.consumers));
  append(LimitFamilies(source_->Describe()));
  append(ProcessFamilies(process_.Read()));
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return {200, std::move(text).str(), kMetricsContentType};
}

Exporter::Exporter() = default;

Exporter::~Exporter() = default;

absl::StatusOr<std::unique_ptr<Exporter>> Exporter::Start(const std::string& listen, ExporterOptions options,
                                                          SnapshotSource* source) {
  absl::StatusOr<net::HostPort> where = net::HostPort::Parse(listen);
  if (!where.ok()) return where.status();
  std::unique_ptr<Exporter> exporter(new Exporter());
  exporter->pages_ = std::make_unique<Pages>(std::move(options), source);
  absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(*where, {}, exporter->pages_.get());
  if (!server.ok()) return server.status();
  exporter->server_ = *std::move(server);
  return exporter;
}

uint16_t Exporter::port() const { return server_->port(); }

}  // namespace sluice
