// Threads for work that may block, with a bounded queue.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace im {

// Thread-safe. The destructor refuses new work, finishes what is queued, and joins.
class Workers {
 public:
  // `niceness`: 0 to 19, as in nice(2), but of these threads alone, which then give way to whoever
  // wants the processor. For work that keeps it for long.
  Workers(int threads, size_t queue_limit, int niceness = 0);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False, and nothing done, if the queue is full or the pool is closing.
  [[nodiscard]] bool TrySubmit(std::function<void()> work);
  size_t QueueSize() const;

 private:
  void Run();

  const size_t queue_limit_;
  const int niceness_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ IM_GUARDED_BY(mu_);
  bool closing_ IM_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

// Calls `tick` every `period` on a thread of its own, first at once, until destroyed. Wake() makes
// the next call come at once.
class Ticker {
 public:
  Ticker(std::chrono::milliseconds period, std::function<void()> tick);
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  void Wake();

 private:
  void Run();

  const std::chrono::milliseconds period_;
  const std::function<void()> tick_;
  Mutex mu_;
  CondVar changed_;
  bool closing_ IM_GUARDED_BY(mu_) = false;
  bool woken_ IM_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace im
