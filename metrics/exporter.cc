#include "metrics/exporter.h"

#include <fmt/format.h>
#include <prometheus/text_serializer.h>

#include <iterator>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "broker/net/address.h"
#include "metrics/families.h"
#include "metrics/http_pages.h"
#include "metrics/http_server.h"
#include "metrics/process.h"

namespace sluice {
namespace {

// Under the second that the most impatient scrapers wait.
constexpr absl::Duration kAskTimeout = absl::Milliseconds(250);
constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

HttpResponse FromStatus(const absl::Status& status) {
  if (status.ok()) return {200, "ok\n"};
  return {503, fmt::format("{}\n", std::string(status.message()))};
}

}  // namespace

class Exporter::Pages : public HttpPages {
 public:
  Pages(BuildInfo build, SnapshotSource* source) : build_(std::move(build)), source_(source) {}

  std::optional<HttpResponse> Page(std::string_view path) override;
  HttpResponse SlowPage() override;

 private:
  const BuildInfo build_;
  SnapshotSource* const source_;
  ProcessReader process_;  // of the thread that builds the slow page
};

std::optional<HttpResponse> Exporter::Pages::Page(std::string_view path) {
  if (path == "/metrics") return std::nullopt;
  if (path == "/healthz") return FromStatus(source_->Healthy());
  if (path == "/readyz") return FromStatus(source_->Ready());
  return HttpResponse{404, "not here: try /metrics, /healthz or /readyz\n"};
}

HttpResponse Exporter::Pages::SlowPage() {
  std::vector<prometheus::MetricFamily> families = CounterFamilies(source_->Counters());
  const auto append = [&families](std::vector<prometheus::MetricFamily> more) {
    families.insert(families.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
  };
  append(BrokerFamilies(build_, source_->AskDistributions(kAskTimeout), source_->Memory()));
  append(ProcessFamilies(process_.Read()));
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return {200, std::move(text).str(), kMetricsContentType};
}

Exporter::Exporter() = default;

Exporter::~Exporter() = default;

absl::StatusOr<std::unique_ptr<Exporter>> Exporter::Start(const std::string& listen, BuildInfo build,
                                                          SnapshotSource* source) {
  absl::StatusOr<net::HostPort> where = net::HostPort::Parse(listen);
  if (!where.ok()) return where.status();
  std::unique_ptr<Exporter> exporter(new Exporter());
  exporter->pages_ = std::make_unique<Pages>(std::move(build), source);
  absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(*where, {}, exporter->pages_.get());
  if (!server.ok()) return server.status();
  exporter->server_ = *std::move(server);
  return exporter;
}

uint16_t Exporter::port() const { return server_->port(); }

}  // namespace sluice
