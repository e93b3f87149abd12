#include "common/base/workers.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace im {
namespace {

// sched_setattr(2), which glibc does not have.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t slice_ns = 0;
  uint64_t deadline = 0;
  uint64_t period = 0;
};

// The calling thread alone. A long slice means that it can wait: since Linux 6.12 whoever wakes up
// takes its place at once, which niceness alone did no more since 6.6. Before, only the niceness
// counts. Where it is not permitted the thread works as before.
void GiveWay(int niceness) {
  constexpr uint64_t kSliceNs = 20'000'000;
  SchedulingAttributes attributes;
  attributes.nice = std::min(getpriority(PRIO_PROCESS, 0) + niceness, 19);
  attributes.slice_ns = kSliceNs;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

Workers::Workers(int threads, size_t queue_limit, int niceness)
    : queue_limit_(queue_limit), niceness_(niceness) {
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
  if (niceness_ > 0) GiveWay(niceness_);
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
