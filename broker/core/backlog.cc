#include "broker/core/backlog.h"

namespace sluice {

void GiveBacklogBack::Free(Backlog* backlog) { delete backlog; }

}  // namespace sluice
