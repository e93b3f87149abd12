// Which of an instance's lanes a conversation belongs to: its messages wait there, in a queue that
// is full or not whatever the other lanes are. Known to the gateways, too, which need not ask a
// lane that is full.
#pragma once

#include <cstdint>

namespace im::bus {

// How many an instance may have.
inline constexpr int kMaxLanes = 64;

// From 0; `lanes` > 0.
inline int LaneOf(int64_t conversation_id, int lanes) {
  // Ids are given out in sequence, so any mixing spreads them.
  const uint64_t mixed = static_cast<uint64_t>(conversation_id) * 0x9e3779b97f4a7c15ULL;
  return static_cast<int>((mixed >> 32) % static_cast<uint64_t>(lanes));
}

}  // namespace im::bus
