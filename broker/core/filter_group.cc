#include "broker/core/filter_group.h"

#include <cstring>
#include <new>
#include <utility>

#include "protocol/topic.h"

namespace sluice {

std::unique_ptr<FilterGroup> FilterGroup::Create(std::string_view filter, std::string_view queue_group) {
  static_assert(kTopicBytesMax <= UINT8_MAX);
  void* const memory = ::operator new(sizeof(FilterGroup) + filter.size());
  std::unique_ptr<FilterGroup> group(::new (memory) FilterGroup());
  std::memcpy(static_cast<char*>(memory) + sizeof(FilterGroup), filter.data(), filter.size());
  group->filter_bytes_ = static_cast<uint8_t>(filter.size());
  if (!queue_group.empty()) {
    group->kind_ = GroupKind::kDealt;
    group->NeedDetails().queue_group = queue_group;
  }
  return group;
}

// One after the other: a filter may have more queue groups than the stack has room for.
FilterGroup::~FilterGroup() {
  while (next != nullptr) next = std::exchange(next->next, nullptr);
}

}  // namespace sluice
