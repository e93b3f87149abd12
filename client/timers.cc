#include "client/timers.h"

namespace im::client {

TimerThread::TimerThread() : thread_([this] { Run(); }) {}

TimerThread::~TimerThread() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void TimerThread::After(Clock::duration delay, std::function<void()> work) {
  MutexLock lock(&mu_);
  const auto [place, added] =
      due_.emplace(std::pair(Clock::now() + delay, ++last_), std::move(work));
  if (added && place == due_.begin()) changed_.NotifyAll();
}

void TimerThread::Run() {
  for (;;) {
    std::function<void()> work;
    {
      MutexLock lock(&mu_);
      while (!closing_ && (due_.empty() || due_.begin()->first.first > Clock::now())) {
        if (due_.empty()) {
          changed_.Wait(&mu_);
        } else {
          changed_.WaitUntil(&mu_, due_.begin()->first.first);
        }
      }
      if (closing_) return;
      work = std::move(due_.begin()->second);
      due_.erase(due_.begin());
    }
    work();
  }
}

}  // namespace im::client
