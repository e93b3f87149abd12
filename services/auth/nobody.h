// Hashes for names that nobody has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "services/auth/password_hasher.h"
#include "services/auth/pg_logins.h"

namespace im::auth {

// An account's hash keeps its parameters until the next log-in. So that the time of an answer does
// not tell whether a name exists, names that nobody has are given parameters as well: those that
// accounts have, in their proportion. Thread-safe.
class Nobody {
 public:
  // Nothing is owned.
  Nobody(PgLogins* store, const PasswordHasher* hasher) : store_(store), hasher_(hasher) {}

  // Reads what accounts have. Until the first time all names get the parameters of now.
  absl::Status Reload();
  // A hash that no password matches; the same for a name as long as accounts keep theirs.
  std::string HashFor(const std::string& name_hash) const;

 private:
  PgLogins* const store_;
  const PasswordHasher* const hasher_;
  mutable Mutex mu_;
  HashingInUse in_use_ IM_GUARDED_BY(mu_);
};

}  // namespace im::auth
