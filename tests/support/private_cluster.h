// A PostgreSQL cluster that a test may kill, starve and move to a standby.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace im::testing {

struct PrivateClusterOptions {
  // Its data on a file system of its own of this size (root only; throws if it cannot be mounted);
  // 0: where the tests are.
  int disk_mb = 0;
  // Whether url() also names the place where a standby will be, so that whoever connects finds the
  // primary of the day.
  bool standby = false;
};

// With fsync on, as in earnest. Started by the constructor, stopped and deleted by the destructor.
// Fails by exceptions. Not thread-safe.
class PrivateCluster {
 public:
  // Whether disk_mb is possible here: asks by mounting a small one.
  static bool CanHaveDisk();

  // Stops and deletes, without asking whether they stand still, the clusters that a process which
  // ended without its destructors left in a folder of temporary files.
  static void DeleteLeftIn(const std::string& temporary);

  explicit PrivateCluster(const PrivateClusterOptions& options = {});
  ~PrivateCluster();
  PrivateCluster(const PrivateCluster&) = delete;
  PrivateCluster& operator=(const PrivateCluster&) = delete;

  // Of its database postgres.
  const std::string& url() const { return url_; }

  // SIGKILL to the server; what it leaves behind ends by itself.
  void Kill();
  // Immediate shutdown, SIGQUIT: no checkpoint, recovery at the next start.
  void Abort();
  // Again, after Kill, Abort or its own end; recovers and returns when it answers.
  void Start();
  bool IsRunning() const;
  // Whether it takes connections and work: not while it recovers from a crash of its own.
  bool Answers() const;
  bool has_disk() const { return options_.disk_mb > 0; }
  // SIGSTOP and SIGCONT to every process of it.
  void Pause();
  void Resume();

  // Every commit takes a tenth of a second more, with the lock on the log held; or not.
  void SetSlowCommits(bool slow);
  // The process of a client whose transaction is committing (one that writes, unless commits are
  // slow); 0: none was seen within the limit. Throws if the server does not answer.
  pid_t FindCommitting(std::chrono::milliseconds limit);

  // Only with disk_mb. Takes all room that is left; gives it back.
  void FillDisk();
  void FreeDisk();
  // The log goes on in files for which there is no room on a full disk: the server ends, and this
  // throws.
  void FillLog();

  // Only with `standby`. Makes a streaming standby on the same machine; `commits_wait` for it from
  // now on (synchronous_standby_names). Returns when it keeps up.
  void StartStandby(bool commits_wait = true);
  // The standby has all that was committed before, and gets nothing more.
  void CutOffStandby();
  // Stops the primary for good (it is deleted) and promotes the standby. Returns when it writes;
  // commits wait for nobody then.
  void FailOver();

 private:
  struct Node {
    std::string folder;
    std::string url;
    std::string mount;  // empty: none
  };

  void Mount(Node* node);
  void Unmount(const Node& node);
  pid_t server(const Node& node) const;
  std::string Query(const Node& node, const std::string& sql) const;

  const PrivateClusterOptions options_;
  std::string folder_;
  // The primary first.
  std::vector<Node> nodes_;
  std::string url_;
  std::vector<pid_t> paused_;
};

}  // namespace im::testing
