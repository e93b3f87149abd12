// What a password is needed for: making an account, logging in, another password.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/token/token.h"
#include "services/auth/nobody.h"
#include "services/auth/password_hasher.h"
#include "services/auth/pg_logins.h"
#include "services/auth/revocation_feed.h"
#include "services/auth/token_mint.h"
#include "services/auth/values.h"

namespace im::auth {

struct Registration {
  std::string user_name;
  std::string password;
  std::string display_name;
  DeviceDescription device;
};

struct Admission {
  Profile profile;
  TokenPair tokens;
};

// Thread-safe; blocks for the time of a hash or two. Does the same work for names that exist and
// names that do not.
class Logins {
 public:
  struct Options {
    bool registration_open = true;
    token::Clock clock = std::chrono::system_clock::now;
  };

  // Nothing is owned.
  Logins(Options options, PgLogins* store, PasswordHasher* hasher, const Nobody* nobody,
         const TokenMint* mint, RevocationFeed* feed);

  absl::StatusOr<Admission> Register(const Registration& registration);
  absl::StatusOr<Admission> LogIn(std::string_view user_name, const std::string& password,
                                  const DeviceDescription& device);
  // Ends all devices of the account but `device_id`.
  absl::Status ChangePassword(int64_t user_id, int64_t device_id,
                              const std::string& current_password, const std::string& new_password);

 private:
  // OK if the password is that of the credentials. Else counts the failure, and tells what the
  // caller is told.
  absl::Status CheckCredentials(const LoginState& state, const std::string& name_hash,
                                const std::string& password);
  absl::StatusOr<Admission> LogInUncounted(std::string_view user_name, const std::string& password,
                                           const DeviceDescription& device);
  absl::Status LockedUntil(Time time) const;
  NewDevice MakeDevice(const DeviceDescription& description) const;
  absl::StatusOr<Admission> Admit(const LoggedIn& logged_in, const NewDevice& device) const;

  const Options options_;
  PgLogins* const store_;
  PasswordHasher* const hasher_;
  const Nobody* const nobody_;
  const TokenMint* const mint_;
  RevocationFeed* const feed_;
};

}  // namespace im::auth
