#include "metrics/page_builder.h"

#include <utility>

#include "metrics/quiet_thread.h"

namespace sluice {

PageBuilder::PageBuilder(HttpPages* pages, const net::Wakeup* wakeup)
    : pages_(pages), wakeup_(wakeup), thread_(QuietThread("http-page", [this] { Run(); })) {}

PageBuilder::~PageBuilder() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void PageBuilder::Begin(HttpTarget target) {
  {
    const std::scoped_lock lock(mutex_);
    wanted_ = std::move(target);
  }
  work_.notify_one();
}

std::shared_ptr<const HttpResponse> PageBuilder::Take() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(built_, nullptr);
}

void PageBuilder::Run() {
  for (;;) {
    std::optional<HttpTarget> target;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return wanted_.has_value() || stopping_; });
      if (stopping_) return;
      target = std::exchange(wanted_, std::nullopt);
    }
    auto page = std::make_shared<const HttpResponse>(AskSlowPage(pages_, *target));
    {
      const std::scoped_lock lock(mutex_);
      built_ = std::move(page);
    }
    wakeup_->Notify();
  }
}

}  // namespace sluice
