#include "bench/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace im::bench {
namespace {

constexpr std::chrono::milliseconds kRedraw(200);
constexpr int kWidth = 40;

}  // namespace

Progress::Progress()
    : shown_(isatty(STDERR_FILENO) == 1), began_(std::chrono::steady_clock::now()), thread_([this] {
        if (shown_) Run();
      }) {}

Progress::~Progress() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
  if (shown_) std::fputs("\r\033[K", stderr);
}

void Progress::Begin(const std::string& what, int64_t total) {
  MutexLock lock(&mu_);
  what_ = what;
  total_ = total;
  began_ = std::chrono::steady_clock::now();
  done_.store(0, std::memory_order_relaxed);
}

void Progress::Run() {
  MutexLock lock(&mu_);
  while (!closing_) {
    if (!what_.empty()) Draw();
    changed_.WaitUntil(&mu_, std::chrono::steady_clock::now() + kRedraw);
  }
}

// Called with mu_ held.
void Progress::Draw() {
  const int64_t done = std::min(done_.load(std::memory_order_relaxed), total_);
  const int filled = total_ == 0 ? 0 : static_cast<int>(kWidth * done / total_);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began_;
  std::fprintf(stderr, "\r%-12s [%s%s] %lld/%lld  %.0f s\033[K", what_.c_str(),
               std::string(filled, '#').c_str(), std::string(kWidth - filled, '.').c_str(),
               static_cast<long long>(done), static_cast<long long>(total_), passed.count());
  std::fflush(stderr);
}

}  // namespace im::bench
