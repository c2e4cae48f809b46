// Builds slow pages, one at a time, on a thread of its own. Internal to metrics.
//
//   builder.Begin(target);
//   ...                       // `wakeup` is notified when it is done
//   if (std::shared_ptr<const HttpResponse> page = builder.Take()) ...
//
// Thread safety: Begin and Take by one thread, which is also the one that drains the wakeup.
#ifndef SLUICE_METRICS_PAGE_BUILDER_H_
#define SLUICE_METRICS_PAGE_BUILDER_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "broker/net/wakeup.h"
#include "metrics/http_pages.h"

namespace sluice {

class PageBuilder {
 public:
  // Both outlive the builder. Throws std::system_error when there is no thread.
  PageBuilder(HttpPages* pages, const net::Wakeup* wakeup);
  // Waits for a page in progress.
  ~PageBuilder();

  PageBuilder(const PageBuilder&) = delete;
  PageBuilder& operator=(const PageBuilder&) = delete;

  // Not while one is being built.
  void Begin(HttpTarget target);

  // nullptr while it is being built, and after it was taken.
  std::shared_ptr<const HttpResponse> Take();

 private:
  void Run();

  HttpPages* const pages_;
  const net::Wakeup* const wakeup_;

  // Not absl's: Debian builds that one without what ThreadSanitizer must see of it.
  std::mutex mutex_;
  std::condition_variable work_;      // something below has changed
  std::optional<HttpTarget> wanted_;  // guarded by mutex_, like the next two
  bool stopping_ = false;
  std::shared_ptr<const HttpResponse> built_;

  std::thread thread_;  // last: it uses the others
};

}  // namespace sluice

#endif  // SLUICE_METRICS_PAGE_BUILDER_H_
