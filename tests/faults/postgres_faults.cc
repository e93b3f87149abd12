// What PostgreSQL does to us.
#include <signal.h>

#include <exception>
#include <memory>
#include <thread>

#include "tests/faults/fault.h"

namespace im::faults {
namespace {

using std::chrono::milliseconds;
using testing::PrivateCluster;

void StartIfNeeded(SetUp& set_up) {
  if (!set_up.cluster().IsRunning()) set_up.cluster().Start();
}

Fault End(const std::string& name, const std::string& what, void (PrivateCluster::*end)()) {
  return {.name = name,
          .what = what,
          .touches = {"postgres"},
          .most = milliseconds(5'000),
          .begin =
              [end](SetUp& set_up, Random*) {
                (set_up.cluster().*end)();
                return std::string();
              },
          .heal = StartIfNeeded};
}

Fault Stop(const std::string& name, const std::string& what, milliseconds least,
           milliseconds most) {
  return {.name = name,
          .what = what,
          .touches = {"postgres"},
          .least = least,
          .most = most,
          .begin =
              [](SetUp& set_up, Random*) {
                set_up.cluster().Pause();
                return std::string();
              },
          .heal = [](SetUp& set_up) { set_up.cluster().Resume(); }};
}

// Single backends, in the middle of a commit; some, one after the other.
Fault Backend(const std::string& name, const std::string& what, int signal, int most_backends) {
  const auto stopped = std::make_shared<std::vector<pid_t>>();
  return {.name = name,
          .what = what,
          .touches = {"postgres"},
          .least = milliseconds(1'000),
          .most = milliseconds(8'000),
          .begin =
              [signal, most_backends, stopped](SetUp& set_up, Random* random) {
                set_up.cluster().SetSlowCommits(true);
                const int64_t wanted = random->Between(1, most_backends);
                int64_t hit = 0;
                for (; hit < wanted; ++hit) {
                  const pid_t pid = set_up.cluster().FindCommitting(milliseconds(2'000));
                  if (pid == 0 || kill(pid, signal) != 0) break;
                  if (signal == SIGSTOP) stopped->push_back(pid);
                }
                return std::to_string(hit) + " of " + std::to_string(wanted);
              },
          .heal =
              [stopped](SetUp& set_up) {
                for (const pid_t pid : *stopped) kill(pid, SIGCONT);
                stopped->clear();
                StartIfNeeded(set_up);
                set_up.cluster().SetSlowCommits(false);
              }};
}

std::string NoDisk(SetUp& set_up) {
  return set_up.cluster().has_disk() ? "" : "only root can mount a small disk";
}

Fault FullDisk(const std::string& name, const std::string& what, bool log) {
  return {.name = name,
          .what = what,
          .touches = {"postgres"},
          .least = milliseconds(3'000),
          .most = milliseconds(20'000),
          .begin =
              [log](SetUp& set_up, Random*) {
                set_up.cluster().FillDisk();
                try {
                  if (log) set_up.cluster().FillLog();
                } catch (const std::exception&) {
                  // The server ended before it answered.
                }
                return std::string();
              },
          .heal =
              [](SetUp& set_up) {
                set_up.cluster().FreeDisk();
                StartIfNeeded(set_up);
              },
          .obstacle = NoDisk};
}

Fault FailOver() {
  return {
      .name = "fail-over",
      .what = "a synchronous standby takes over, the primary is gone for good",
      .touches = {"postgres"},
      .begin =
          [](SetUp& set_up, Random* random) {
            set_up.cluster().StartStandby();
            // Some of the load runs with it.
            std::this_thread::sleep_for(random->Between(milliseconds(1'000), milliseconds(4'000)));
            set_up.cluster().FailOver();
            return std::string();
          },
      .heal = [](SetUp&) {}};
}

}  // namespace

std::vector<Fault> PostgresFaults() {
  return {End("kill-postgres", "SIGKILL to PostgreSQL", &PrivateCluster::Kill),
          End("abort-postgres", "immediate shutdown of PostgreSQL", &PrivateCluster::Abort),
          Stop("stop-postgres", "SIGSTOP to all of PostgreSQL, some seconds", milliseconds(500),
               milliseconds(4'000)),
          Stop("freeze-postgres", "SIGSTOP to all of PostgreSQL, longer than statements may take",
               milliseconds(10'000), milliseconds(35'000)),
          Backend("terminate-backend", "SIGTERM to backends in the middle of a commit", SIGTERM, 5),
          Backend("kill-backend", "SIGKILL to a backend in the middle of a commit", SIGKILL, 1),
          Backend("stop-backend", "SIGSTOP to a backend in the middle of a commit", SIGSTOP, 1),
          FullDisk("full-disk", "no room for the database's data", false),
          FullDisk("full-log", "no room for the database's log: it crashes", true),
          FailOver()};
}

}  // namespace im::faults
