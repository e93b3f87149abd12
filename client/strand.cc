#include "client/strand.h"

#include <utility>

namespace im::client {

void Strand::Post(std::function<void()> work) {
  const std::shared_ptr<Queue> queue = queue_;
  {
    MutexLock lock(&queue->mu);
    queue->waiting.push_back(std::move(work));
    if (queue->running) return;
    queue->running = true;
  }
  for (;;) {
    std::deque<std::function<void()>> batch;
    {
      MutexLock lock(&queue->mu);
      if (queue->waiting.empty()) {
        queue->running = false;
        return;
      }
      batch.swap(queue->waiting);
    }
    for (auto& piece : batch) {
      piece();
      piece = nullptr;
    }
  }
}

}  // namespace im::client
