// What a command that stays runs on: work from other threads, the keyboard, signals.
#pragma once

#include <deque>
#include <functional>

#include "common/base/mutex.h"

namespace im::imctl {

// All callbacks come on the thread of Run. Make it before any other thread, since the signals
// SIGINT, SIGTERM, SIGHUP and SIGWINCH are blocked in all threads made after it.
class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Thread-safe.
  void Post(std::function<void()> work);
  void OnSignal(std::function<void(int)> handler) { on_signal_ = std::move(handler); }
  // Called whenever there is something to read; null: no more.
  void OnInput(int fd, std::function<void()> handler);
  // Returns when Stop was called on a callback.
  void Run();
  void Stop() { stopped_ = true; }

 private:
  void RunPosted();

  int wake_fd_;
  int signal_fd_;
  int input_fd_ = -1;
  bool stopped_ = false;
  std::function<void(int)> on_signal_;
  std::function<void()> on_input_;

  Mutex mu_;
  std::deque<std::function<void()>> posted_ IM_GUARDED_BY(mu_);
};

}  // namespace im::imctl
