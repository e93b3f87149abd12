#include "tests/faults/guard.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "tests/faults/island.h"
#include "tests/support/private_cluster.h"

namespace im::faults {
namespace {

// All temporary files of the run, so that what it left is found.
std::string MakeTemporary() {
  std::string pattern = (std::filesystem::temp_directory_path() / "im-faults-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  return pattern;
}

void CleanUp(pid_t process, const std::string& temporary) {
  try {
    Island::DeleteOf(process);
    testing::PrivateCluster::DeleteLeftIn(temporary);
    std::filesystem::remove_all(temporary);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "not all is cleaned up, see %s: %s\n", temporary.c_str(), error.what());
  }
}

// Until the process has ended, or this one is to end: then the signal, else 0.
int WaitForEnd(const sigset_t& signals, pid_t process, int* status) {
  while (waitpid(process, status, WNOHANG) == 0) {
    int number = 0;
    sigwait(&signals, &number);
    if (number != SIGCHLD) return number;
  }
  return 0;
}

}  // namespace

int RunGuarded(const std::function<int()>& run,
               const std::function<void(const std::string& why)>& verdict) {
  // Whoever reads along may have ended by the same Ctrl-C.
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals, before;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, &before);
  const std::string temporary = MakeTemporary();
  const pid_t self = getpid();
  const pid_t process = fork();
  if (process < 0) throw std::runtime_error("fork failed");
  if (process == 0) {
    // In a group of its own, so that Ctrl-C is told to the guard alone, and with its scripts.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self) _exit(127);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    setenv("TMPDIR", temporary.c_str(), 1);
    // An exception ends it, too.
    std::exit([&]() noexcept { return run(); }());
  }
  setpgid(process, process);
  int status = 0;
  const int told = WaitForEnd(signals, process, &status);
  if (told != 0) {
    kill(-process, SIGKILL);
    waitpid(process, &status, 0);
  }
  CleanUp(process, temporary);
  if (told != 0) {
    verdict(std::string("stopped by ") + strsignal(told));
    return 128 + told;
  }
  if (WIFSIGNALED(status)) {
    verdict(std::string("it ended itself by ") + strsignal(WTERMSIG(status)));
    return 128 + WTERMSIG(status);
  }
  return WEXITSTATUS(status);
}

}  // namespace im::faults
