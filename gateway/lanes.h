// Which lanes of an instance of chat are full, so that what it would refuse is refused here: under
// overload that is most of the work, and what there is no time to refuse waits at the client.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "common/bus/lane.h"

namespace im::gateway {

// Thread-safe.
class Lanes {
 public:
  using Clock = std::chrono::steady_clock;

  // Of what waits in none, and of an instance that did not say how many lanes it has.
  static constexpr int kNone = -1;

  // A lane is full for that long after a message to it was refused as OVERLOADED.
  explicit Lanes(Clock::duration full) : full_(full) {}

  // As the instance said.
  void SetCount(int count) { count_.store(count <= bus::kMaxLanes ? count : 0); }
  int Of(int64_t conversation_id) const {
    const int count = count_.load(std::memory_order_relaxed);
    return count > 0 ? bus::LaneOf(conversation_id, count) : kNone;
  }

  // The instance refused a message to it.
  void SetFull(int lane) {
    if (lane != kNone) full_until_[lane].store(Clock::now() + full_, std::memory_order_relaxed);
  }
  // It did so a moment ago.
  bool IsFull(int lane) const {
    return lane != kNone && Clock::now() < full_until_[lane].load(std::memory_order_relaxed);
  }

 private:
  const Clock::duration full_;
  std::atomic<int> count_{0};
  std::array<std::atomic<Clock::time_point>, bus::kMaxLanes> full_until_{};
};

}  // namespace im::gateway
