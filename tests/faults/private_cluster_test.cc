// What the faults do to PostgreSQL does happen, and is undone.
#include "tests/support/private_cluster.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <pqxx/pqxx>
#include <thread>

#include "common/base/error.h"
#include "common/pg/pool.h"
#include "tests/support/database.h"

namespace im::testing {
namespace {

using std::chrono::seconds;

constexpr char kInsert[] = "INSERT INTO rows (value) VALUES (repeat('x', 4000))";

int64_t CountRows(TestDatabase* database) {
  return std::stoll(database->Value("SELECT count(*) FROM rows"));
}

// Writes all the time, and counts what was acknowledged.
class Load {
 public:
  explicit Load(const std::string& url)
      : pool_({.url = url, .connections = 1}), thread_([this] {
          while (!ended_.load()) {
            const absl::Status status =
                pool_.Write([](pg::Session& session) { session.Exec(kInsert); });
            ++(status.ok() ? acknowledged_ : failed_);
          }
        }) {}
  ~Load() { End(); }
  void End() {
    ended_.store(true);
    if (thread_.joinable()) thread_.join();
  }
  int64_t acknowledged() const { return acknowledged_.load(); }
  int64_t failed() const { return failed_.load(); }

 private:
  pg::Pool pool_;
  std::atomic<bool> ended_{false};
  std::atomic<int64_t> acknowledged_{0};
  std::atomic<int64_t> failed_{0};
  std::thread thread_;
};

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

TEST(PrivateClusterTest, AFailOverKeepsWhatWasAcknowledgedAndChangesTheEpoch) {
  PrivateCluster cluster({.standby = true});
  TestDatabase database(cluster.url());
  database.Exec("CREATE TABLE rows (value text)");
  std::string epoch = database.Value("SELECT chat.current_epoch()");
  // There, and back again.
  for (int i = 0; i < 2; ++i) {
    Load load(database.url());
    cluster.StartStandby();
    const int64_t before = load.acknowledged();
    ASSERT_TRUE(Eventually([&] { return load.acknowledged() > before + 20; }));
    cluster.FailOver();
    const int64_t then = load.acknowledged();
    EXPECT_TRUE(Eventually([&] { return load.acknowledged() > then + 20; }));
    EXPECT_GT(load.failed(), 0);
    load.End();
    EXPECT_GE(CountRows(&database), load.acknowledged());
    const std::string now = database.Value("SELECT chat.current_epoch()");
    EXPECT_NE(now, epoch);
    epoch = now;
    database.Exec("TRUNCATE rows");
  }
}

TEST(PrivateClusterTest, AFullDiskRefusesUntilThereIsRoom) {
  if (!PrivateCluster::CanHaveDisk()) GTEST_SKIP() << "only root can mount a small disk";
  PrivateCluster cluster({.disk_mb = 256});
  TestDatabase database(cluster.url());
  database.Exec("CREATE TABLE rows (value text)");
  Load load(database.url());
  ASSERT_TRUE(Eventually([&] { return load.acknowledged() > 10; }));
  cluster.FillDisk();
  ASSERT_TRUE(Eventually([&] { return load.failed() > 0; }));
  EXPECT_TRUE(cluster.IsRunning());
  // Without room for the log the server ends.
  EXPECT_ANY_THROW(cluster.FillLog());
  EXPECT_TRUE(Eventually([&] { return !cluster.IsRunning(); }));
  cluster.FreeDisk();
  cluster.Start();
  const int64_t then = load.acknowledged();
  EXPECT_TRUE(Eventually([&] { return load.acknowledged() > then; }));
  load.End();
  EXPECT_GE(CountRows(&database), load.acknowledged());
}

TEST(PrivateClusterTest, ABackendIsFoundInTheMiddleOfItsCommit) {
  PrivateCluster cluster;
  TestDatabase database(cluster.url());
  database.Exec("CREATE TABLE rows (value text)");
  EXPECT_EQ(cluster.FindCommitting(std::chrono::milliseconds(50)), 0);
  cluster.SetSlowCommits(true);
  Load load(database.url());
  const pid_t pid = cluster.FindCommitting(seconds(10));
  ASSERT_GT(pid, 0);
  ASSERT_EQ(kill(pid, SIGSTOP), 0);
  const int64_t then = load.acknowledged();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LE(load.acknowledged(), then + 1);
  kill(pid, SIGCONT);
  cluster.SetSlowCommits(false);
  EXPECT_TRUE(Eventually([&] { return load.acknowledged() > then + 50; }));
}

TEST(PrivateClusterTest, ComesBackAfterAnImmediateShutdown) {
  PrivateCluster cluster;
  TestDatabase database(cluster.url());
  cluster.Abort();
  EXPECT_FALSE(cluster.IsRunning());
  cluster.Start();
  EXPECT_TRUE(cluster.IsRunning());
  EXPECT_EQ(database.Value("SELECT 1"), "1");
}

}  // namespace
}  // namespace im::testing
