#include "imctl/event_loop.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

namespace im::imctl {

EventLoop::EventLoop() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int one : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) sigaddset(&signals, one);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

EventLoop::~EventLoop() {
  close(signal_fd_);
  close(wake_fd_);
}

void EventLoop::Post(std::function<void()> work) {
  MutexLock lock(&mu_);
  posted_.push_back(std::move(work));
  eventfd_write(wake_fd_, 1);
}

void EventLoop::OnInput(int fd, std::function<void()> handler) {
  input_fd_ = handler ? fd : -1;
  on_input_ = std::move(handler);
}

void EventLoop::RunPosted() {
  std::deque<std::function<void()>> work;
  {
    MutexLock lock(&mu_);
    eventfd_t count = 0;
    eventfd_read(wake_fd_, &count);
    work.swap(posted_);
  }
  for (auto& one : work) {
    if (stopped_) return;
    one();
  }
}

void EventLoop::Run() {
  while (!stopped_) {
    pollfd fds[3] = {{wake_fd_, POLLIN, 0}, {signal_fd_, POLLIN, 0}, {input_fd_, POLLIN, 0}};
    if (poll(fds, 3, -1) < 0) continue;
    if (fds[1].revents != 0) {
      signalfd_siginfo info{};
      while (read(signal_fd_, &info, sizeof info) == sizeof info) {
        if (on_signal_) on_signal_(static_cast<int>(info.ssi_signo));
      }
    }
    if (fds[2].revents != 0 && on_input_ && !stopped_) {
      // It may replace itself.
      const std::function<void()> handler = on_input_;
      handler();
    }
    if (fds[0].revents != 0) RunPosted();
  }
}

}  // namespace im::imctl
