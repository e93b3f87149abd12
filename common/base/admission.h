// The door of a queue: bounds how long those who are let in will wait, rather than how many they
// are.
//
//   if (!admission.Enter(bytes)) return Error(Reason::OVERLOADED, ...);
//   // queued; and when its turn has come:
//   admission.Leave(bytes);
#pragma once

#include <chrono>
#include <cstddef>

#include "common/base/mutex.h"

namespace im {

// Thread-safe. Knows the pace of late, at which those who wait had their turns: whoever would wait
// longer than allowed at that pace is not let in, so is told at once; nor is anybody while the
// first has been waiting for that long.
class Admission {
 public:
  explicit Admission(std::chrono::milliseconds longest_wait, size_t most_bytes = 64 << 20)
      : longest_wait_(longest_wait), most_bytes_(most_bytes) {}

  // False: there is too much to do. `bytes`: what waiting costs.
  [[nodiscard]] bool Enter(size_t bytes);
  // One's turn has come, or it was given up. Call once for each that was let in.
  void Leave(size_t bytes);

 private:
  using Clock = std::chrono::steady_clock;

  const std::chrono::milliseconds longest_wait_;
  const size_t most_bytes_;
  Mutex mu_;
  size_t waiting_ IM_GUARDED_BY(mu_) = 0;
  size_t bytes_ IM_GUARDED_BY(mu_) = 0;
  // Since when the first in the queue is the first.
  Clock::time_point first_since_ IM_GUARDED_BY(mu_);
  Clock::duration pace_ IM_GUARDED_BY(mu_){};
};

}  // namespace im
