// The keys that access tokens are signed with, on PostgreSQL.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/token/keys.h"
#include "services/auth/values.h"

namespace im::pg {
class Pool;
}

namespace im::auth {

struct SigningKey {
  token::KeyPair pair;
  Time active_from;
};

// Thread-safe; blocks. Each method is one statement.
class PgKeys {
 public:
  // Not owned.
  explicit PgKeys(pg::Pool* pool) : pool_(pool) {}

  // By active_from, the oldest first.
  absl::StatusOr<std::vector<SigningKey>> List();

  // Adds the key unless another instance was faster: unless there is one active later than
  // `due_before`.
  absl::Status Add(const SigningKey& fresh, Time due_before);
  // Removes keys that had a successor before `gone_before`.
  absl::Status Retire(Time gone_before);

 private:
  pg::Pool* const pool_;
};

}  // namespace im::auth
