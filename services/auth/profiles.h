// What others see of accounts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/auth/pg_profiles.h"
#include "services/auth/values.h"

namespace im::auth {

// Thread-safe; blocks.
class Profiles {
 public:
  // Not owned.
  explicit Profiles(PgProfiles* store) : store_(store) {}

  absl::StatusOr<Profile> Get(int64_t user_id);
  absl::StatusOr<Profile> Update(int64_t user_id, const std::optional<std::string>& display_name,
                                 const std::optional<std::string>& bio);
  // By name, then by id, in the order asked, without those that do not exist.
  absl::StatusOr<std::vector<Profile>> LookUp(const std::vector<std::string>& user_names,
                                              const std::vector<int64_t>& user_ids);

  // Which of these accounts exist.
  absl::StatusOr<std::vector<int64_t>> Existing(const std::vector<int64_t>& user_ids);
  // Which of these have a text in user name or display name, in any case.
  absl::StatusOr<std::vector<int64_t>> Matching(const std::vector<int64_t>& user_ids,
                                                const std::string& text);

 private:
  PgProfiles* const store_;
};

}  // namespace im::auth
