// Who may subscribe to the topics on which the broker tells about itself, $sys.>. Internal to the broker.
#ifndef SLUICE_BROKER_SYS_TOPICS_H_
#define SLUICE_BROKER_SYS_TOPICS_H_

#include <cstdint>
#include <string_view>

namespace sluice {

enum class SysTopics : uint8_t {
  kLoopback,  // clients on the broker's machine
  kEveryone,
  kNobody,
};

// Whether a filter (or topic) is about them.
inline bool IsSysTopic(std::string_view filter) { return filter.starts_with("$sys."); }

}  // namespace sluice

#endif  // SLUICE_BROKER_SYS_TOPICS_H_
