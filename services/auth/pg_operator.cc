#include "services/auth/pg_operator.h"

#include "common/pg/pool.h"
#include "services/auth/pg_values.h"
#include "services/auth/user_name.h"

namespace im::auth {
namespace {

constexpr char kAdd[] =
    "INSERT INTO auth.accounts (user_name, password_hash, created_at)"
    " VALUES ($1, $2, auth.at($3)) ON CONFLICT (user_name) DO NOTHING RETURNING user_id";

// Primary key, then index devices_of_user for each account of the page.
constexpr char kList[] =
    "SELECT a.user_id, a.user_name, a.display_name, a.bio, auth.micros(a.created_at) AS created_at,"
    " auth.micros(a.locked_at) AS locked_at, d.devices, auth.micros(d.last_used_at) AS last_used_at"
    " FROM (SELECT * FROM auth.accounts WHERE user_id > $1 ORDER BY user_id LIMIT $2) a,"
    " LATERAL (SELECT count(*) AS devices, max(last_used_at) AS last_used_at FROM auth.devices"
    "   WHERE user_id = a.user_id AND ended_at IS NULL AND refresh_expires_at > auth.at($3)) d"
    " ORDER BY a.user_id";

constexpr char kLock[] = "SELECT auth.lock_account(auth.at($1), $2)";
constexpr char kUnlock[] = "SELECT auth.unlock_account($1, $2)";
constexpr char kResetPassword[] = "SELECT auth.reset_password($1, $2, $3)";

template <typename T>
std::optional<T> ReadOptional(const pqxx::result& rows) {
  if (rows.empty() || rows[0][0].is_null()) return std::nullopt;
  return rows[0][0].as<T>();
}

}  // namespace

absl::StatusOr<std::optional<int64_t>> PgOperator::Add(const std::string& user_name,
                                                       const std::string& password_hash, Time now) {
  return pool_->Write([&](pg::Session& session) {
    return ReadOptional<int64_t>(session.Exec(kAdd, user_name, password_hash, ToMicros(now)));
  });
}

absl::StatusOr<std::vector<AccountRow>> PgOperator::List(int64_t after_user_id, int limit,
                                                         Time now) {
  return pool_->Read([&](pg::Session& session) {
    std::vector<AccountRow> accounts;
    for (const pqxx::row& row : session.Exec(kList, after_user_id, limit, ToMicros(now))) {
      accounts.push_back({{row["user_id"].as<int64_t>(), row["user_name"].as<std::string>(),
                           row["display_name"].as<std::string>(), row["bio"].as<std::string>()},
                          ReadTime(row["created_at"]),
                          ReadOptionalTime(row["locked_at"]),
                          row["devices"].as<int64_t>(),
                          ReadOptionalTime(row["last_used_at"])});
    }
    return accounts;
  });
}

absl::StatusOr<std::optional<int>> PgOperator::Lock(const std::string& user_name, Time now) {
  return pool_->Write([&](pg::Session& session) {
    return ReadOptional<int>(session.Exec(kLock, ToMicros(now), user_name));
  });
}

absl::StatusOr<bool> PgOperator::Unlock(const std::string& user_name) {
  return pool_->Write([&](pg::Session& session) {
    return ReadOptional<int>(session.Exec(kUnlock, user_name, pg::Bytes(UserNameHash(user_name))))
        .has_value();
  });
}

absl::StatusOr<std::optional<int>> PgOperator::ResetPassword(const std::string& user_name,
                                                             const std::string& password_hash) {
  return pool_->Write([&](pg::Session& session) {
    return ReadOptional<int>(
        session.Exec(kResetPassword, user_name, pg::Bytes(UserNameHash(user_name)), password_hash));
  });
}

}  // namespace im::auth
