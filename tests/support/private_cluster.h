// A PostgreSQL cluster that a test may kill.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace im::testing {

// With fsync on, as in earnest. Started by the constructor, stopped and deleted by the destructor.
// Fails by exceptions. Not thread-safe.
class PrivateCluster {
 public:
  PrivateCluster();
  ~PrivateCluster();
  PrivateCluster(const PrivateCluster&) = delete;
  PrivateCluster& operator=(const PrivateCluster&) = delete;

  // Of its database postgres.
  const std::string& url() const { return url_; }

  // SIGKILL to the server; what it leaves behind ends by itself.
  void Kill();
  // Again, after Kill; recovers and returns when it answers.
  void Start();
  // SIGSTOP and SIGCONT to every process of it.
  void Pause();
  void Resume();

 private:
  pid_t server() const;

  std::string folder_;
  std::string url_;
  std::vector<pid_t> paused_;
};

}  // namespace im::testing
