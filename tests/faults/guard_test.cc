// Of a run of the fault test nothing stays behind, however it ends.
#include "tests/faults/guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/faults/island.h"
#include "tests/support/private_cluster.h"

namespace im::faults {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::PrivateCluster;

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What PrivateCluster and Island make, with the run's folder of temporary files first.
struct Made {
  std::vector<std::string> files;
  std::vector<std::string> mounts;
  pid_t postgres = 0;
};

// A guard in a process of its own, around a run that makes what there is to make and then does as
// it is told.
class GuardTest : public ::testing::Test {
 protected:
  GuardTest() {
    folder_ = (std::filesystem::temp_directory_path() / "im-guard-XXXXXX").string();
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
  }
  ~GuardTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // Returns when the run has made everything.
  void Begin(const std::function<int(PrivateCluster*)>& then) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    guard_ = fork();
    if (guard_ == 0) {
      close(ready[0]);
      const int status = RunGuarded([&] { return MakeAll(ready[1], then); },
                                    [&](const std::string& why) { Write("verdict", why); });
      _exit(status);
    }
    close(ready[1]);
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1) << "the run ended before it had made everything";
    close(ready[0]);
    std::ifstream(folder_ + "/postgres") >> made_.postgres;
    made_.files = Lines("files");
    made_.mounts = Lines("mounts");
    ASSERT_EQ(kill(made_.postgres, 0), 0);
    for (const std::string& file : made_.files) ASSERT_TRUE(std::filesystem::exists(file)) << file;
  }

  void Tell(int signal_number) { kill(guard_, signal_number); }

  int End() {
    int status = 0;
    waitpid(guard_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  void ExpectNothingStays() {
    EXPECT_TRUE(Ends(made_.postgres)) << "PostgreSQL runs on";
    for (const std::string& file : made_.files) EXPECT_FALSE(std::filesystem::exists(file)) << file;
    for (const std::string& mount : made_.mounts) {
      EXPECT_THAT(ReadFile("/proc/self/mounts"), Not(HasSubstr(mount)));
    }
  }

  // Also as one that its new parent has not waited for yet.
  static bool Ends(pid_t pid) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (kill(pid, 0) == 0) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  std::string verdict() { return ReadFile(folder_ + "/verdict"); }

 private:
  std::vector<std::string> Lines(const std::string& name) {
    std::vector<std::string> lines;
    std::ifstream file(folder_ + "/" + name);
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }

  int MakeAll(int ready, const std::function<int(PrivateCluster*)>& then) {
    const bool disk = PrivateCluster::CanHaveDisk();
    PrivateCluster cluster({.disk_mb = disk ? 128 : 0, .standby = true});
    cluster.StartStandby();
    std::string files = std::filesystem::temp_directory_path().string() + "\n", mounts;
    std::unique_ptr<Island> island;
    if (Island::CanBe()) {
      island = std::make_unique<Island>();
      files += island->network() + "\n";
    }
    const std::string sockets = cluster.url().substr(
        cluster.url().find("host=") + 5, cluster.url().find(',') - cluster.url().find("host=") - 5);
    files += sockets + "\n";
    pid_t pid = 0;
    std::ifstream lock(sockets + "/.s.PGSQL.5432.lock");
    std::string data;
    lock >> pid >> data;
    files += data + "\n";
    Write("postgres", std::to_string(pid));
    Write("files", files);
    Write("mounts", disk ? data + "\n" : "");
    if (write(ready, "x", 1) != 1) return 1;
    return then(&cluster);
  }

  std::string folder_;
  pid_t guard_ = 0;
  Made made_;
};

int Forever(PrivateCluster*) {
  for (;;) pause();
}

TEST_F(GuardTest, ARunThatEndsByItselfHasItsStatus) {
  Begin([](PrivateCluster*) { return 3; });
  EXPECT_EQ(End(), 3);
  EXPECT_EQ(verdict(), "");
  ExpectNothingStays();
}

TEST_F(GuardTest, ToldToEnd) {
  Begin(Forever);
  Tell(SIGINT);
  EXPECT_EQ(End(), 128 + SIGINT);
  EXPECT_EQ(verdict(), "stopped by Interrupt");
  ExpectNothingStays();
}

TEST_F(GuardTest, ToldToEndWhileTheDatabaseStandsStill) {
  Begin([](PrivateCluster* cluster) {
    cluster->Pause();
    // Told from here, so that it is not told before.
    kill(getppid(), SIGTERM);
    return Forever(cluster);
  });
  EXPECT_EQ(End(), 128 + SIGTERM);
  ExpectNothingStays();
}

TEST_F(GuardTest, ARunThatCrashes) {
  Begin([](PrivateCluster*) -> int { std::abort(); });
  EXPECT_EQ(End(), 128 + SIGABRT);
  EXPECT_THAT(verdict(), HasSubstr("it ended itself by Aborted"));
  ExpectNothingStays();
}

}  // namespace
}  // namespace im::faults
