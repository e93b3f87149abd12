// What the operator does to accounts, on PostgreSQL.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/auth/values.h"

namespace im::pg {
class Pool;
}

namespace im::auth {

struct AccountRow {
  Profile profile;
  Time created_at;
  std::optional<Time> locked_at;
  // How many are logged in.
  int64_t devices = 0;
  std::optional<Time> last_used_at;
};

// Thread-safe; blocks. Each method is one statement. Names are folded. An account that does not
// exist is nullopt or false.
class PgOperator {
 public:
  // Not owned.
  explicit PgOperator(pg::Pool* pool) : pool_(pool) {}

  // nullopt: the name is taken.
  absl::StatusOr<std::optional<int64_t>> Add(const std::string& user_name,
                                             const std::string& password_hash, Time now);
  // By id, after one; at most `limit`.
  absl::StatusOr<std::vector<AccountRow>> List(int64_t after_user_id, int limit, Time now);
  // How many devices this ended.
  absl::StatusOr<std::optional<int>> Lock(const std::string& user_name, Time now);
  // Opens the name again after wrong passwords, too.
  absl::StatusOr<bool> Unlock(const std::string& user_name);
  absl::StatusOr<std::optional<int>> ResetPassword(const std::string& user_name,
                                                   const std::string& password_hash);

 private:
  pg::Pool* const pool_;
};

}  // namespace im::auth
