// Time, injectable: the clock and calls at a later time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "common/base/mutex.h"

namespace im::client {

using Clock = std::chrono::steady_clock;

// Thread-safe.
class Timers {
 public:
  virtual ~Timers() = default;

  virtual Clock::time_point Now() = 0;
  // Calls `work` once, after `delay`. The work must be short: it holds up the other timers.
  virtual void After(Clock::duration delay, std::function<void()> work) = 0;
};

// The real clock and one thread; one serves any number of sessions. Work that is not due yet when
// it is destroyed is dropped.
class TimerThread : public Timers {
 public:
  TimerThread();
  ~TimerThread() override;
  TimerThread(const TimerThread&) = delete;
  TimerThread& operator=(const TimerThread&) = delete;

  Clock::time_point Now() override { return Clock::now(); }
  void After(Clock::duration delay, std::function<void()> work) override;

 private:
  void Run();

  Mutex mu_;
  CondVar changed_;
  bool closing_ IM_GUARDED_BY(mu_) = false;
  // The number keeps those due at the same time in order.
  std::map<std::pair<Clock::time_point, uint64_t>, std::function<void()>> due_ IM_GUARDED_BY(mu_);
  uint64_t last_ IM_GUARDED_BY(mu_) = 0;
  std::thread thread_;
};

}  // namespace im::client
