#include "services/auth/pg_profiles.h"

#include "common/pg/pool.h"

namespace im::auth {
namespace {

constexpr char kFind[] =
    "SELECT user_id, user_name, display_name, bio FROM auth.accounts"
    " WHERE user_name = ANY($1::text[]) OR user_id = ANY($2::bigint[])";

constexpr char kUpdate[] =
    "UPDATE auth.accounts SET display_name = coalesce($2, display_name), bio = coalesce($3, bio)"
    " WHERE user_id = $1 RETURNING user_id, user_name, display_name, bio";

constexpr char kExisting[] = "SELECT user_id FROM auth.accounts WHERE user_id = ANY($1::bigint[])";

// Contacts of one user, so few rows; no index could help to find the middle of a name.
constexpr char kMatching[] =
    "SELECT user_id FROM auth.accounts WHERE user_id = ANY($1::bigint[])"
    " AND (position(lower($2) IN user_name) > 0 OR position(lower($2) IN lower(display_name)) > 0)";

Profile ReadProfile(const pqxx::row& row) {
  return {row["user_id"].as<int64_t>(), row["user_name"].as<std::string>(),
          row["display_name"].as<std::string>(), row["bio"].as<std::string>()};
}

std::vector<int64_t> ReadUserIds(const pqxx::result& rows) {
  std::vector<int64_t> ids;
  ids.reserve(rows.size());
  for (const pqxx::row& row : rows) ids.push_back(row["user_id"].as<int64_t>());
  return ids;
}

const char* NullOr(const std::optional<std::string>& text) {
  return text ? text->c_str() : nullptr;
}

}  // namespace

absl::StatusOr<std::vector<Profile>> PgProfiles::Find(const std::vector<std::string>& user_names,
                                                      const std::vector<int64_t>& user_ids) {
  return pool_->Read([&](pg::Session& session) {
    std::vector<Profile> profiles;
    for (const pqxx::row& row :
         session.Exec(kFind, pg::TextArray(user_names), pg::Array(user_ids))) {
      profiles.push_back(ReadProfile(row));
    }
    return profiles;
  });
}

absl::StatusOr<std::optional<Profile>> PgProfiles::Update(
    int64_t user_id, const std::optional<std::string>& display_name,
    const std::optional<std::string>& bio) {
  return pool_->Write([&](pg::Session& session) -> std::optional<Profile> {
    const pqxx::result rows = session.Exec(kUpdate, user_id, NullOr(display_name), NullOr(bio));
    if (rows.empty()) return std::nullopt;
    return ReadProfile(rows[0]);
  });
}

absl::StatusOr<std::vector<int64_t>> PgProfiles::Existing(const std::vector<int64_t>& user_ids) {
  return pool_->Read([&](pg::Session& session) {
    return ReadUserIds(session.Exec(kExisting, pg::Array(user_ids)));
  });
}

absl::StatusOr<std::vector<int64_t>> PgProfiles::Matching(const std::vector<int64_t>& user_ids,
                                                          const std::string& text) {
  return pool_->Read([&](pg::Session& session) {
    return ReadUserIds(session.Exec(kMatching, pg::Array(user_ids), text));
  });
}

}  // namespace im::auth
