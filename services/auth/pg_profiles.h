// What others see of accounts, on PostgreSQL.
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

// Thread-safe; blocks. Each method is one statement.
class PgProfiles {
 public:
  // Not owned.
  explicit PgProfiles(pg::Pool* pool) : pool_(pool) {}

  // Those that exist, in no order.
  absl::StatusOr<std::vector<Profile>> Find(const std::vector<std::string>& user_names,
                                            const std::vector<int64_t>& user_ids);
  // nullopt: there is no such account.
  absl::StatusOr<std::optional<Profile>> Update(int64_t user_id,
                                                const std::optional<std::string>& display_name,
                                                const std::optional<std::string>& bio);

  // Which of them exist.
  absl::StatusOr<std::vector<int64_t>> Existing(const std::vector<int64_t>& user_ids);
  // Which of them hold the text in user name or display name, in any case.
  absl::StatusOr<std::vector<int64_t>> Matching(const std::vector<int64_t>& user_ids,
                                                const std::string& text);

 private:
  pg::Pool* const pool_;
};

}  // namespace im::auth
