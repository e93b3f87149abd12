// Accounts written straight into the database: hashing a thousand passwords takes minutes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "im/auth/v1/accounts.pb.h"

namespace im::bench {

struct NewAccount {
  std::string user_name;
  std::string display_name;
};

struct Account {
  int64_t user_id = 0;
  std::string user_name;
  // A device that is logged in. Seeded: only the refresh token, to be exchanged by Refresh.
  auth::v1::Tokens tokens;
};

// All of them or none, in the order given. Each is reachable by anyone. Goes through the functions
// that the services themselves call, so that the rows are theirs; the password is random and
// forgotten, and its hash cheap. Fails with ALREADY_EXISTS if a name is taken.
absl::StatusOr<std::vector<Account>> SeedAccounts(const std::string& database_url,
                                                  const std::vector<NewAccount>& accounts);

// Writes messages of 100 bytes behind what a conversation holds, as if this member had sent them
// all. im-chat must not have been asked to send there before: it would have to read afresh first.
// `told` is called with how many are there so far.
absl::Status SeedMessages(const std::string& database_url, int64_t conversation_id,
                          int64_t sender_user_id, int64_t count,
                          const std::function<void(int64_t)>& told);

}  // namespace im::bench
