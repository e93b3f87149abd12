// Accounts, conversations and messages written straight into the database: hashing a thousand
// passwords takes minutes, and sending ten million messages hours.
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

// A device more for each of these accounts, in their order. Of accounts whose password was never
// changed, and by the service's own function, too.
absl::StatusOr<std::vector<Account>> SeedDevices(const std::string& database_url,
                                                 const std::vector<int64_t>& user_ids);

struct NewConversation {
  // Two: a direct conversation, unless `group`; the first one opens or makes it.
  std::vector<int64_t> user_ids;
  bool group = false;
};

// All of them or none, by the service's own functions. Their ids, in the order given.
absl::StatusOr<std::vector<int64_t>> SeedConversations(
    const std::string& database_url, const std::vector<NewConversation>& conversations);

// Writes `each` messages of 100 bytes behind what each conversation holds, as if its members had
// sent them in turn. Those of one conversation do not lie beside each other, as after a life of
// messages to all of them. im-chat reads a conversation afresh when it is next to store there.
// `told` is called with how many more are there.
absl::Status SeedMessages(const std::string& database_url, const std::vector<int64_t>& ids,
                          int64_t each, const std::function<void(int64_t)>& told);

// The newest seq of each.
absl::StatusOr<std::vector<int64_t>> LastSeqs(const std::string& database_url,
                                              const std::vector<int64_t>& conversation_ids);

// What is in the database, whoever wrote it.
struct Contents {
  int64_t entries = 0;
  int64_t accounts = 0;
};
absl::StatusOr<Contents> CountContents(const std::string& database_url);

// Leaves the tables as they are after having been filled day by day.
absl::Status Vacuum(const std::string& database_url);

}  // namespace im::bench
