// The door of a queue: bounds how long those who are let in will wait, rather than how many they
// are.
//
//   if (!admission.Enter(bytes)) return Error(Reason::OVERLOADED, ...);
//   // queued; and when its turn has come:
//   admission.Leave(bytes);  // or GiveUp, if there is nothing to do for it any more
#pragma once

#include <chrono>
#include <cstddef>

#include "common/base/mutex.h"

namespace im {

// Thread-safe. Knows the pace of late, at which those who wait had their turns: whoever would wait
// longer than allowed at that pace is not let in, so is told at once; nor is anybody while the
// first has been waiting for that long. Of late is a mean in which what came a tenth of the longest
// wait ago weighs a third, so that one turn that takes long turns nobody away.
class Admission {
 public:
  explicit Admission(std::chrono::milliseconds longest_wait, size_t most_bytes = 64 << 20)
      : longest_wait_(longest_wait), most_bytes_(most_bytes) {}

  // False: there is too much to do. `bytes`: what waiting costs.
  [[nodiscard]] bool Enter(size_t bytes);
  // One's turn has come.
  void Leave(size_t bytes);
  // One leaves without a turn, which says nothing of the pace.
  void GiveUp(size_t bytes);

 private:
  using Clock = std::chrono::steady_clock;

  // Lets what was before that time count for less.
  void Fade(Clock::duration elapsed) IM_REQUIRES(mu_);

  const std::chrono::milliseconds longest_wait_;
  const size_t most_bytes_;
  Mutex mu_;
  size_t waiting_ IM_GUARDED_BY(mu_) = 0;
  size_t bytes_ IM_GUARDED_BY(mu_) = 0;
  // Since when the first in the queue is the first; of an empty queue, since when it is empty.
  Clock::time_point first_since_ IM_GUARDED_BY(mu_);
  // Turns of late, and how long they took; both fade.
  double turns_ IM_GUARDED_BY(mu_) = 0;
  double seconds_ IM_GUARDED_BY(mu_) = 0;
};

}  // namespace im
