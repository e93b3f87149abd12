// Accounts as those who log in see them: passwords, failures, new devices. On PostgreSQL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/auth/refresh_token.h"
#include "services/auth/values.h"

namespace im::pg {
class Pool;
}

namespace im::auth {

// What a log-in is checked against.
struct Credentials {
  int64_t user_id = 0;
  std::string user_name;
  std::string password_hash;
  int password_version = 0;
};

struct LoginState {
  // nullopt: there is no such account.
  std::optional<Credentials> credentials;
  // Wrong passwords keep the name locked until then; may be past.
  std::optional<Time> locked_until;
};

// A device that is about to be logged in.
struct NewDevice {
  DeviceDescription description;
  RefreshToken refresh_token;
  Time refresh_expires_at;
};

struct NewAccount {
  std::string user_name;
  std::string display_name;
  std::string password_hash;
};

struct LoggedIn {
  Profile profile;
  int64_t device_id = 0;
};

// The password was right; what came of it.
enum class LoginOutcome {
  kOk,
  kChanged,        // the password is another one by now
  kLoginLocked,    // wrong ones came meanwhile
  kAccountLocked,  // by the operator
};

struct LoginResult {
  LoginOutcome outcome = LoginOutcome::kOk;
  Time locked_until;   // kLoginLocked
  LoggedIn logged_in;  // kOk
};

struct PasswordChange {
  LoginOutcome outcome = LoginOutcome::kOk;
  Time locked_until;
  std::vector<int64_t> ended_devices;
};

struct Failure {
  // False: the name was locked already.
  bool counted = true;
  std::optional<Time> locked_until;
};

// How accounts' passwords are hashed.
struct HashingInUse {
  struct Share {
    // As they stand in a hash.
    std::string parameters;
    int64_t accounts = 0;
  };
  // 16 random bytes, always the same.
  std::string key;
  // Of a sample of accounts, by parameters in their order.
  std::vector<Share> shares;
};

// Thread-safe; blocks. Each method is one statement.
class PgLogins {
 public:
  // Not owned.
  explicit PgLogins(pg::Pool* pool) : pool_(pool) {}

  absl::StatusOr<bool> HasName(const std::string& user_name);
  // nullopt: the name is taken.
  absl::StatusOr<std::optional<LoggedIn>> Register(const NewAccount& account,
                                                   const NewDevice& device, Time now);

  // The same work whether the name exists or not.
  absl::StatusOr<LoginState> FindByName(const std::string& user_name, const std::string& name_hash);
  absl::StatusOr<LoginState> FindById(int64_t user_id);

  absl::StatusOr<Failure> RecordFailure(const std::string& name_hash, Time now);
  // `new_hash`: of the same password, with other parameters.
  absl::StatusOr<LoginResult> LogIn(const Credentials& checked,
                                    const std::optional<std::string>& new_hash,
                                    const NewDevice& device, Time now);
  // Ends all devices but `keep_device_id`.
  absl::StatusOr<PasswordChange> ChangePassword(const Credentials& checked,
                                                const std::string& new_hash, int64_t keep_device_id,
                                                Time now);

  absl::StatusOr<HashingInUse> ReadHashingInUse();

  // Forgets failures that count no more.
  absl::Status RemoveOldFailures(Time now);

 private:
  pg::Pool* const pool_;
};

}  // namespace im::auth
