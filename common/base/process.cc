#include "common/base/process.h"

#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "common/base/log.h"

namespace im {
namespace {

sigset_t ShutdownSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Whatever still runs may hold locks: nothing but what a signal handler may call.
void EndNow(int /*signal*/) {
  constexpr char kWhy[] = "the shutdown takes too long: ended in the middle of it\n";
  (void)!write(STDERR_FILENO, kWhy, sizeof kWhy - 1);
  _exit(1);
}

}  // namespace

void InitProcess() {
  const sigset_t signals = ShutdownSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  // Each connection is an open file, and gRPC listens no more once it has met the limit. The soft
  // one is for programs that use select().
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  // Debian builds Abseil with its checks for deadlocks on: gRPC's every lock then walks a graph and
  // notes a stack (5 % of the samples of one profile of the gateway; the gain was not shown).
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  if (sodium_init() < 0) {
    std::fputs("cannot initialise libsodium: no source of randomness\n", stderr);
    std::exit(1);
  }
}

void WaitForShutdownSignal(std::chrono::seconds limit) {
  const sigset_t signals = ShutdownSignals();
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  Log(LogLevel::kInfo, "shutting_down", {{"signal", signal_number}});
  signal(SIGALRM, EndNow);
  alarm(static_cast<unsigned>(limit.count()));
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

}  // namespace im
