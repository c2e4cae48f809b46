// The status page: one HTML file that needs nothing else but the API of the broker that serves it.
//
//   response.body = StatusPageHtml();          // text/html; charset=utf-8
//   Content-Security-Policy: StatusPageCsp()   // allows what is in the page by its hashes, and /api
//
// Made of metrics/status_page/ when the house is built. Internal to metrics. Thread safety: any thread.
#ifndef SLUICE_METRICS_STATUS_PAGE_H_
#define SLUICE_METRICS_STATUS_PAGE_H_

#include <string_view>

namespace sluice {

// Both last as long as the process.
std::string_view StatusPageHtml();
// The value of the header, on one line.
std::string_view StatusPageCsp();

}  // namespace sluice

#endif  // SLUICE_METRICS_STATUS_PAGE_H_
