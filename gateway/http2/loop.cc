#include "gateway/http2/loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "gateway/http2/call.h"
#include "gateway/http2/connection.h"

namespace im::gateway::http2 {
namespace {

constexpr size_t kScratchBytes = 64 << 10;
constexpr int kEventsAtOnce = 256;

}  // namespace

Loop::Loop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      scratch_(kScratchBytes),
      next_tick_(Clock::now() + std::chrono::seconds(1)) {
  if (epoll_ < 0 || wake_ < 0) throw std::runtime_error("no epoll");
  Watch(wake_, EPOLLIN, nullptr);
  thread_ = std::thread([this] { Thread(); });
}

Loop::~Loop() {
  Stop();
  close(wake_);
  close(epoll_);
}

void Loop::Wake() {
  const uint64_t one = 1;
  // Only fails when it is awake.
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
}

template <typename Item>
bool Loop::Put(std::vector<Item>* inbox, Item item) {
  {
    MutexLock lock(&mu_);
    if (stopping_) return false;
    inbox->push_back(std::move(item));
    if (awake_) return true;
    // Still asleep until then: whoever has no scope open wakes it before.
    if (FlushScope::Defer(std::shared_ptr<Flushable>(shared_from_this(), this))) return true;
    awake_ = true;
  }
  Wake();
  return true;
}

void Loop::FlushNow() {
  {
    MutexLock lock(&mu_);
    if (std::exchange(awake_, true)) return;
  }
  Wake();
}

bool Loop::Post(Errand errand) { return Put(&errands_, std::move(errand)); }
bool Loop::Run(std::function<void()> work) { return Put(&work_, std::move(work)); }

void Loop::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
  }
  Wake();
  if (thread_.joinable()) thread_.join();
  // These hold calls, which hold this.
  std::vector<Errand> errands;
  std::vector<std::function<void()>> work;
  MutexLock lock(&mu_);
  errands.swap(errands_);
  work.swap(work_);
}

void Loop::Watch(int fd, uint32_t events, Waiter* waiter) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = waiter;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) throw std::runtime_error("no epoll");
}

void Loop::Change(int fd, uint32_t events, Waiter* waiter) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = waiter;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Loop::Forget(int fd) { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void Loop::Adopt(std::unique_ptr<Connection> connection) {
  Connection* const raw = connection.get();
  connections_[raw] = std::move(connection);
  held_ = connections_.size();
}

void Loop::Destroy(Connection* connection) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  destroyed_.push_back(std::move(found->second));
  connections_.erase(found);
  held_ = connections_.size();
}

void Loop::TakeInbox() {
  std::vector<Errand> errands;
  std::vector<std::function<void()>> work;
  {
    MutexLock lock(&mu_);
    errands.swap(errands_);
    work.swap(work_);
  }
  for (Errand& errand : errands) {
    Call* const call = errand.call.get();
    call->Do(&errand);
  }
  for (const auto& each : work) each();
}

void Loop::WriteDirty() {
  // One may make another dirty, itself too.
  for (size_t i = 0; i < dirty_.size(); ++i) dirty_[i]->Write();
  dirty_.clear();
  destroyed_.clear();
  if (when_empty_ && connections_.empty()) std::exchange(when_empty_, nullptr)();
}

void Loop::OnTime() {
  const auto now = Clock::now();
  // Each takes its own out.
  while (!timers_.empty() && timers_.begin()->first <= now) {
    timers_.begin()->second->OnDeadline();
  }
  if (now < next_tick_) return;
  next_tick_ = now + std::chrono::seconds(1);
  std::vector<Connection*> all;
  for (const auto& [connection, owner] : connections_) all.push_back(connection);
  for (Connection* connection : all) connection->OnTick(now);
}

int Loop::Patience() const {
  auto until = next_tick_;
  if (!timers_.empty()) until = std::min(until, timers_.begin()->first);
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count() + 1;
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1000));
}

void Loop::Thread() {
  // OpenSSL writes to sockets whose client is gone, too; that is an error here, not a signal.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  epoll_event events[kEventsAtOnce];
  for (;;) {
    bool idle = false;
    {
      MutexLock lock(&mu_);
      if (stopping_) break;
      idle = errands_.empty() && work_.empty();
      awake_ = !idle;
    }
    const int count = epoll_wait(epoll_, events, kEventsAtOnce, idle ? Patience() : 0);
    {
      MutexLock lock(&mu_);
      awake_ = true;
    }
    {
      // What this round's frames leave for an instance goes there in one message.
      FlushScope scope;
      for (int i = 0; i < count; ++i) {
        auto* const waiter = static_cast<Waiter*>(events[i].data.ptr);
        if (waiter != nullptr) {
          waiter->OnReady(events[i].events);
        } else {
          uint64_t wakes = 0;
          [[maybe_unused]] const ssize_t taken = read(wake_, &wakes, sizeof wakes);
        }
      }
      TakeInbox();
      OnTime();
    }
    WriteDirty();
  }
  std::vector<Connection*> all;
  for (const auto& [connection, owner] : connections_) all.push_back(connection);
  for (Connection* connection : all) connection->Close();
  destroyed_.clear();
  dirty_.clear();
}

}  // namespace im::gateway::http2
