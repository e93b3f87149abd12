// A line on the terminal that says how far something has come.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "common/base/mutex.h"

namespace im::bench {

// Draws on stderr a few times a second, from a thread of its own, if that is a terminal; else does
// nothing. Thread-safe. The destructor wipes the line.
class Progress {
 public:
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // What is being done, e.g. "sending".
  void Begin(const std::string& what, int64_t total);
  void Done(int64_t count) { done_.store(count, std::memory_order_relaxed); }

 private:
  void Run();
  void Draw() IM_REQUIRES(mu_);

  const bool shown_;
  std::atomic<int64_t> done_{0};
  Mutex mu_;
  CondVar changed_;
  std::string what_ IM_GUARDED_BY(mu_);
  int64_t total_ IM_GUARDED_BY(mu_) = 0;
  std::chrono::steady_clock::time_point began_ IM_GUARDED_BY(mu_);
  bool closing_ IM_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace im::bench
