// Runs pieces of work one after another without a thread of its own.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "common/base/mutex.h"

namespace im::client {

// Thread-safe. Work is run in the order posted, never two pieces at once, on the thread of whoever
// posted while nothing else ran. Posting from inside a piece of work queues it behind. The strand
// may be destroyed by its own work.
class Strand {
 public:
  Strand() : queue_(std::make_shared<Queue>()) {}

  void Post(std::function<void()> work);

 private:
  struct Queue {
    Mutex mu;
    std::deque<std::function<void()>> waiting IM_GUARDED_BY(mu);
    bool running IM_GUARDED_BY(mu) = false;
  };

  // Shared with the thread that runs the work, so that the last piece may drop the strand.
  std::shared_ptr<Queue> queue_;
};

}  // namespace im::client
