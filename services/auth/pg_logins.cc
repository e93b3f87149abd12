#include "services/auth/pg_logins.h"

#include <map>

#include "common/base/error.h"
#include "common/pg/pool.h"
#include "services/auth/pg_values.h"
#include "services/auth/user_name.h"

namespace im::auth {
namespace {

constexpr char kHasName[] = "SELECT FROM auth.accounts WHERE user_name = $1";

constexpr char kRegister[] =
    "SELECT user_id, device_id"
    " FROM auth.register(auth.at($1), $2, $3, $4, $5, $6, $7, $8, auth.at($9))";

constexpr char kFindByName[] =
    "SELECT a.user_id, a.user_name, a.password_hash, a.password_version,"
    " (SELECT auth.micros(f.locked_until) FROM auth.login_failures f WHERE f.name_hash = $2)"
    "   AS locked_until"
    " FROM (SELECT 1) AS one LEFT JOIN auth.accounts a ON a.user_name = $1";

// The hash of a name is UserNameHash: SHA-256 of the folded name.
constexpr char kFindById[] =
    "SELECT a.user_id, a.user_name, a.password_hash, a.password_version,"
    " auth.micros(f.locked_until) AS locked_until"
    " FROM auth.accounts a LEFT JOIN auth.login_failures f"
    "   ON f.name_hash = sha256(convert_to(a.user_name, 'UTF8'))"
    " WHERE a.user_id = $1";

constexpr char kRecordFailure[] =
    "SELECT counted, auth.micros(locked_until) AS locked_until"
    " FROM auth.record_failure(auth.at($1), $2)";

constexpr char kLogIn[] =
    "SELECT outcome, device_id, auth.micros(locked_until) AS locked_until, display_name, bio"
    " FROM auth.log_in(auth.at($1), $2, $3, $4, $5, $6, $7, $8, $9, auth.at($10))";

constexpr char kChangePassword[] =
    "SELECT outcome, auth.micros(locked_until) AS locked_until,"
    " array_to_string(ended, ',') AS ended"
    " FROM auth.change_password(auth.at($1), $2, $3, $4, $5, $6)";

// Of some 20,000 accounts, so that it takes milliseconds however many there are; reltuples is -1
// before the first ANALYZE.
constexpr char kReadHashingInUse[] =
    "SELECT n.key, s.parameters, s.accounts FROM auth.nobody n LEFT JOIN ("
    "  SELECT split_part(password_hash, '$', 4) AS parameters, count(*) AS accounts"
    "  FROM auth.accounts TABLESAMPLE SYSTEM ((SELECT LEAST(100, 2000000 / GREATEST(reltuples, 1))"
    "    FROM pg_class WHERE oid = 'auth.accounts'::regclass))"
    "  GROUP BY 1 ORDER BY 2 DESC LIMIT 16) AS s ON true ORDER BY s.parameters";

// Few at a time, so that no lock is held for long; what is left goes the next time.
constexpr char kRemoveOldFailures[] =
    "DELETE FROM auth.login_failures WHERE name_hash IN ("
    "  SELECT name_hash FROM auth.login_failures WHERE last_at < auth.at($1) - interval '1 day'"
    "  ORDER BY last_at LIMIT 10000 FOR UPDATE SKIP LOCKED)";

LoginState ReadLoginState(const pqxx::row& row) {
  LoginState state;
  if (!row["user_id"].is_null()) {
    state.credentials =
        Credentials{row["user_id"].as<int64_t>(), row["user_name"].as<std::string>(),
                    row["password_hash"].as<std::string>(), row["password_version"].as<int>()};
  }
  state.locked_until = ReadOptionalTime(row["locked_until"]);
  return state;
}

LoginOutcome ReadOutcome(const pqxx::field& field) {
  static const std::map<std::string, LoginOutcome> kOutcomes = {
      {"ok", LoginOutcome::kOk},
      {"changed", LoginOutcome::kChanged},
      {"login_locked", LoginOutcome::kLoginLocked},
      {"account_locked", LoginOutcome::kAccountLocked}};
  return kOutcomes.at(field.as<std::string>());
}

}  // namespace

absl::StatusOr<bool> PgLogins::HasName(const std::string& user_name) {
  return pool_->Read(
      [&](pg::Session& session) { return !session.Exec(kHasName, user_name).empty(); });
}

absl::StatusOr<std::optional<LoggedIn>> PgLogins::Register(const NewAccount& account,
                                                           const NewDevice& device, Time now) {
  return pool_->Write([&](pg::Session& session) -> std::optional<LoggedIn> {
    const pqxx::result rows = session.Exec(
        kRegister, ToMicros(now), account.user_name, account.display_name, account.password_hash,
        device.description.name, device.description.platform,
        pg::Bytes(device.refresh_token.FamilyHash()), pg::Bytes(device.refresh_token.SecretHash()),
        ToMicros(device.refresh_expires_at));
    if (rows.empty()) return std::nullopt;
    return LoggedIn{{rows[0]["user_id"].as<int64_t>(), account.user_name, account.display_name, ""},
                    rows[0]["device_id"].as<int64_t>()};
  });
}

absl::StatusOr<LoginState> PgLogins::FindByName(const std::string& user_name,
                                                const std::string& name_hash) {
  return pool_->Read([&](pg::Session& session) {
    return ReadLoginState(session.Exec(kFindByName, user_name, pg::Bytes(name_hash)).at(0));
  });
}

absl::StatusOr<LoginState> PgLogins::FindById(int64_t user_id) {
  return pool_->Read([&](pg::Session& session) {
    const pqxx::result rows = session.Exec(kFindById, user_id);
    return rows.empty() ? LoginState() : ReadLoginState(rows[0]);
  });
}

absl::StatusOr<Failure> PgLogins::RecordFailure(const std::string& name_hash, Time now) {
  return pool_->Write([&](pg::Session& session) {
    const pqxx::row row = session.Exec(kRecordFailure, ToMicros(now), pg::Bytes(name_hash)).at(0);
    return Failure{row["counted"].as<bool>(), ReadOptionalTime(row["locked_until"])};
  });
}

absl::StatusOr<LoginResult> PgLogins::LogIn(const Credentials& checked,
                                            const std::optional<std::string>& new_hash,
                                            const NewDevice& device, Time now) {
  return pool_->Write([&](pg::Session& session) {
    const pqxx::row row =
        session
            .Exec(kLogIn, ToMicros(now), pg::Bytes(UserNameHash(checked.user_name)),
                  checked.user_id, checked.password_version,
                  new_hash ? new_hash->c_str() : static_cast<const char*>(nullptr),
                  device.description.name, device.description.platform,
                  pg::Bytes(device.refresh_token.FamilyHash()),
                  pg::Bytes(device.refresh_token.SecretHash()), ToMicros(device.refresh_expires_at))
            .at(0);
    LoginResult result;
    result.outcome = ReadOutcome(row["outcome"]);
    result.locked_until = ReadOptionalTime(row["locked_until"]).value_or(Time());
    if (result.outcome == LoginOutcome::kOk) {
      result.logged_in = {{checked.user_id, checked.user_name,
                           row["display_name"].as<std::string>(), row["bio"].as<std::string>()},
                          row["device_id"].as<int64_t>()};
    }
    return result;
  });
}

absl::StatusOr<PasswordChange> PgLogins::ChangePassword(const Credentials& checked,
                                                        const std::string& new_hash,
                                                        int64_t keep_device_id, Time now) {
  return pool_->Write([&](pg::Session& session) {
    const pqxx::row row =
        session
            .Exec(kChangePassword, ToMicros(now), pg::Bytes(UserNameHash(checked.user_name)),
                  checked.user_id, checked.password_version, new_hash, keep_device_id)
            .at(0);
    return PasswordChange{ReadOutcome(row["outcome"]),
                          ReadOptionalTime(row["locked_until"]).value_or(Time()),
                          ReadIds(row["ended"])};
  });
}

absl::StatusOr<HashingInUse> PgLogins::ReadHashingInUse() {
  return pool_->Read([&](pg::Session& session) {
    HashingInUse in_use;
    for (const pqxx::row& row : session.Exec(kReadHashingInUse)) {
      in_use.key = pg::Bytes(row["key"]);
      if (row["accounts"].is_null()) continue;
      in_use.shares.push_back({row["parameters"].as<std::string>(), row["accounts"].as<int64_t>()});
    }
    return in_use;
  });
}

absl::Status PgLogins::RemoveOldFailures(Time now) {
  return pool_->Write(
      [&](pg::Session& session) { session.Exec(kRemoveOldFailures, ToMicros(now)); });
}

}  // namespace im::auth
