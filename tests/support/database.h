// A database of a test's own, with the schema of this version, on the test cluster.
#pragma once

#include <string>

namespace im::testing {

// Starts a cluster in a folder if it is not running; `settings` like "-c fsync=on". Returns the URL
// of its database postgres. Throws if it cannot.
std::string StartCluster(const std::string& folder, const std::string& settings = {});

// Runs tests/support/postgres.sh and returns what it printed. Throws if it failed.
std::string PostgresScript(const std::string& arguments);

// Starts the cluster if it is not running (ctest stops it at the end). Dropped on destruction.
class TestDatabase {
 public:
  TestDatabase();
  // On another cluster; `admin_url` names its database postgres.
  explicit TestDatabase(const std::string& admin_url);
  ~TestDatabase();
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  const std::string& url() const { return url_; }
  // Runs SQL from outside of the code under test.
  void Exec(const std::string& sql);
  // The first column of the first row of a query, as text; fails the process if there is none.
  std::string Value(const std::string& sql);

 private:
  std::string admin_url_;
  std::string name_;
  std::string url_;
};

}  // namespace im::testing
