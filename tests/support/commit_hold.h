// Holds transactions inside their commit, from outside of the code under test.
//
//   CommitHold hold(&database, "chat.entries");
//   hold.Hold();          // from here on whoever inserts there stands still in its commit
//   ...
//   hold.AwaitHeld(1);    // one does
//   hold.Release();       // and goes on
//
// While it stands still nobody sees what it wrote, and it holds its locks; the server finishes the
// commit even if the client was killed meanwhile. As a deferred constraint trigger that waits for
// an advisory lock.
#pragma once

#include <memory>
#include <pqxx/pqxx>
#include <string>

#include "tests/support/database.h"

namespace im::testing {

// Not thread-safe. The database must outlive it. Throws if something is not so after 20 seconds.
class CommitHold {
 public:
  // `table`: what is inserted into. `when`: SQL condition on the row (NEW.sender_user_id = 7).
  CommitHold(TestDatabase* database, const std::string& table, const std::string& when = "true");
  // Lets everybody go on.
  ~CommitHold();
  CommitHold(const CommitHold&) = delete;
  CommitHold& operator=(const CommitHold&) = delete;

  void Hold();
  void Release();
  // Until so many transactions stand still in their commit.
  void AwaitHeld(int count);
  // Until none does.
  void AwaitNoneHeld();

 private:
  TestDatabase* const database_;
  std::unique_ptr<pqxx::connection> holder_;
  bool held_ = false;
};

// Until so many statements of the database wait for the lock on a row.
void AwaitRowWaiters(TestDatabase* database, int count);

}  // namespace im::testing
