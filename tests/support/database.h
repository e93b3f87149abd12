// A database of a test's own, with the schema and the roles of this version, on the test cluster.
#pragma once

#include <string>

namespace im::testing {

// Starts a cluster in a folder if it is not running; `settings` like "-c fsync=on". Returns the URL
// of its database postgres. Throws if it cannot.
std::string StartCluster(const std::string& folder, const std::string& settings = {});

// Runs tests/support/postgres.sh and returns what it printed. Throws if it failed.
std::string PostgresScript(const std::string& arguments);

// Runs deploy/postgresql/roles.sql in a database, by a superuser's URL.
void MakeRoles(const std::string& url);

// Starts the cluster if it is not running (ctest stops it at the end). Dropped on destruction.
// Its roles are those of deploy/postgresql/roles.sql.
class TestDatabase {
 public:
  TestDatabase();
  // On another cluster; `admin_url` names its database postgres.
  explicit TestDatabase(const std::string& admin_url);
  // A copy of another, whose connections it ends.
  struct CopyOf {
    const TestDatabase& original;
  };
  explicit TestDatabase(CopyOf copy);
  ~TestDatabase();
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  // As the cluster's superuser: for what a test does behind the back of the code under test.
  const std::string& url() const { return url_; }
  // As the role of a service ("auth", "chat", "presence") or of the owner ("owner"), so that a
  // right that is missing fails the test.
  std::string UrlOf(const std::string& role) const;
  // Runs SQL from outside of the code under test.
  void Exec(const std::string& sql);
  // The first column of the first row of a query, as text; fails the process if there is none.
  std::string Value(const std::string& sql);

 private:
  void Create(const std::string& options);

  std::string admin_url_;
  std::string name_;
  std::string url_;
};

}  // namespace im::testing
