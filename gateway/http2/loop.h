// An event loop: one thread that owns connections and everything of them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "common/base/flush_scope.h"
#include "common/base/mutex.h"
#include "gateway/frame.h"

namespace im::gateway::http2 {

class Call;
class Connection;

// What another thread, or the loop's own, wants of a call.
struct Errand {
  enum class Kind { kWrite, kWriteLast, kEnd, kRead, kCut };
  Kind kind;
  std::shared_ptr<Call> call;
  Frame frame;                           // kWrite, kWriteLast (the budget is used up)
  std::unique_ptr<grpc::Status> status;  // kEnd
};

// Post, Run and Stop may be called by any thread; the rest is the loop's own. Held by shared_ptr: a
// call that another thread holds may outlive the door, and posts to a loop that has stopped.
class Loop : public std::enable_shared_from_this<Loop>, private Flushable {
 public:
  using Clock = std::chrono::steady_clock;
  // What waits for a file descriptor. Called on the loop.
  class Waiter {
   public:
    virtual ~Waiter() = default;
    virtual void OnReady(uint32_t events) = 0;
  };

  Loop();
  // Stops first.
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // false: the loop has stopped, and nothing will come of it. Inside of a FlushScope the loop is
  // woken at the scope's end.
  bool Post(Errand errand);
  bool Run(std::function<void()> work);
  // Lets go of all connections and of what was posted, and ends the thread. Returns when it has.
  void Stop();
  // How many connections it has. For any thread.
  size_t held() const { return held_.load(); }

  // Once there are no connections; there must come no more.
  void WhenEmpty(std::function<void()> empty) { when_empty_ = std::move(empty); }

  void Watch(int fd, uint32_t events, Waiter* waiter);
  void Change(int fd, uint32_t events, Waiter* waiter);
  void Forget(int fd);
  void Adopt(std::unique_ptr<Connection> connection);
  // Once what happens now is over.
  void Destroy(Connection* connection);
  // Has its output written before the loop waits again.
  void WriteSoon(Connection* connection) { dirty_.push_back(connection); }
  using Timers = std::multimap<Clock::time_point, Call*>;
  // Its OnDeadline is called then, unless that is taken back.
  Timers::iterator CallAt(Clock::time_point when, Call* call) {
    return timers_.emplace(when, call);
  }
  void TakeBack(Timers::iterator timer) { timers_.erase(timer); }

  const std::unordered_map<Connection*, std::unique_ptr<Connection>>& connections() const {
    return connections_;
  }
  // For reading into; nobody keeps it.
  std::vector<uint8_t>& scratch() { return scratch_; }

 private:
  void Thread();
  template <typename Item>
  bool Put(std::vector<Item>* inbox, Item item);
  void FlushNow() override;
  void TakeInbox();
  void WriteDirty();
  void OnTime();
  int Patience() const;
  void Wake();

  const int epoll_;
  const int wake_;
  std::vector<uint8_t> scratch_;
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections_;
  std::atomic<size_t> held_{0};
  std::vector<Connection*> dirty_;
  std::vector<std::unique_ptr<Connection>> destroyed_;
  Timers timers_;
  std::function<void()> when_empty_;
  Clock::time_point next_tick_;

  Mutex mu_;
  std::vector<Errand> errands_ IM_GUARDED_BY(mu_);
  std::vector<std::function<void()>> work_ IM_GUARDED_BY(mu_);
  // A wake-up is under way, or the loop will look anyway.
  bool awake_ IM_GUARDED_BY(mu_) = true;
  bool stopping_ IM_GUARDED_BY(mu_) = false;

  std::thread thread_;
};

}  // namespace im::gateway::http2
