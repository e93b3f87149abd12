#include "common/base/workers.h"

#include <utility>

namespace im {

Workers::Workers(int threads, size_t queue_limit) : queue_limit_(queue_limit) {
  threads_.reserve(threads);
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

Workers::~Workers() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

bool Workers::TrySubmit(std::function<void()> work) {
  MutexLock lock(&mu_);
  if (closing_ || queue_.size() >= queue_limit_) return false;
  queue_.push_back(std::move(work));
  changed_.NotifyOne();
  return true;
}

size_t Workers::QueueSize() const {
  MutexLock lock(&mu_);
  return queue_.size();
}

void Workers::Run() {
  while (true) {
    std::function<void()> work;
    {
      MutexLock lock(&mu_);
      while (queue_.empty() && !closing_) changed_.Wait(&mu_);
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

Ticker::Ticker(std::chrono::milliseconds period, std::function<void()> tick)
    : period_(period), tick_(std::move(tick)), thread_([this] { Run(); }) {}

Ticker::~Ticker() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void Ticker::Wake() {
  MutexLock lock(&mu_);
  woken_ = true;
  changed_.NotifyAll();
}

void Ticker::Run() {
  while (true) {
    tick_();
    const auto next = std::chrono::steady_clock::now() + period_;
    MutexLock lock(&mu_);
    while (!closing_ && !woken_) {
      if (!changed_.WaitUntil(&mu_, next)) break;
    }
    if (closing_) return;
    woken_ = false;
  }
}

}  // namespace im
