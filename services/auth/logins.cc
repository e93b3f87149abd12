#include "services/auth/logins.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/metrics.h"
#include "services/auth/fields.h"
#include "services/auth/password_policy.h"
#include "services/auth/user_name.h"

namespace im::auth {
namespace {

void CountLogin(const absl::Status& status) {
  static auto& family = CounterFamily("im_auth_logins_total", "Log-ins by what came of them.");
  const auto reason = ReasonOf(status);
  const std::string outcome =
      status.ok() ? "OK" : std::string(ReasonName(reason.value_or(Reason::INTERNAL)));
  family.Add({{"outcome", outcome}}).Increment();
}

}  // namespace

Logins::Logins(Options options, PgLogins* store, PasswordHasher* hasher, const Nobody* nobody,
               const TokenMint* mint, RevocationFeed* feed)
    : options_(std::move(options)),
      store_(store),
      hasher_(hasher),
      nobody_(nobody),
      mint_(mint),
      feed_(feed) {}

absl::StatusOr<Admission> Logins::Register(const Registration& registration) {
  if (!options_.registration_open) return Error(Reason::REGISTRATION_CLOSED);
  const std::optional<std::string> user_name = ParseUserName(registration.user_name);
  if (!user_name) {
    return Error(Reason::USER_NAME_INVALID, {},
                 {.violations = {{"user_name", "not 3 to 32 of a-z 0-9 _ . -"}}});
  }
  IM_RETURN_IF_ERROR(CheckPassword("password", registration.password, *user_name));
  IM_RETURN_IF_ERROR(CheckLine("display_name", registration.display_name, kMostNameCharacters));
  IM_RETURN_IF_ERROR(CheckDevice(registration.device));
  IM_RETURN_IF_ERROR(mint_->Ready());

  // Asked first, since hashing is dear; whether a name is taken is no secret here.
  IM_ASSIGN_OR_RETURN(const bool taken, store_->HasName(*user_name));
  if (taken) return Error(Reason::USER_NAME_TAKEN);
  IM_ASSIGN_OR_RETURN(const std::string hash, hasher_->Hash(registration.password));
  const NewDevice device = MakeDevice(registration.device);
  IM_ASSIGN_OR_RETURN(
      const std::optional<LoggedIn> logged_in,
      store_->Register({*user_name, registration.display_name, hash}, device, options_.clock()));
  if (!logged_in) return Error(Reason::USER_NAME_TAKEN);
  return Admit(*logged_in, device);
}

absl::StatusOr<Admission> Logins::LogIn(std::string_view user_name, const std::string& password,
                                        const DeviceDescription& device) {
  absl::StatusOr<Admission> admission = LogInUncounted(user_name, password, device);
  CountLogin(admission.status());
  return admission;
}

absl::StatusOr<Admission> Logins::LogInUncounted(std::string_view user_name,
                                                 const std::string& password,
                                                 const DeviceDescription& description) {
  IM_RETURN_IF_ERROR(CheckDevice(description));
  IM_RETURN_IF_ERROR(mint_->Ready());
  const std::string name_hash = UserNameHash(user_name);
  // What can be nobody's name is looked for all the same, as a name that nobody has.
  IM_ASSIGN_OR_RETURN(const LoginState state,
                      store_->FindByName(ParseUserName(user_name).value_or(""), name_hash));
  IM_RETURN_IF_ERROR(CheckCredentials(state, name_hash, password));

  std::optional<std::string> new_hash;
  if (hasher_->IsOutdated(state.credentials->password_hash)) {
    IM_ASSIGN_OR_RETURN(new_hash, hasher_->Hash(password));
  }
  const NewDevice device = MakeDevice(description);
  IM_ASSIGN_OR_RETURN(const LoginResult result,
                      store_->LogIn(*state.credentials, new_hash, device, options_.clock()));
  switch (result.outcome) {
    case LoginOutcome::kOk:
      return Admit(result.logged_in, device);
    case LoginOutcome::kChanged:
      return Error(Reason::WRONG_CREDENTIALS);
    case LoginOutcome::kLoginLocked:
      return LockedUntil(result.locked_until);
    case LoginOutcome::kAccountLocked:
      return Error(Reason::ACCOUNT_LOCKED);
  }
  return absl::InternalError("no such outcome");
}

absl::Status Logins::ChangePassword(int64_t user_id, int64_t device_id,
                                    const std::string& current_password,
                                    const std::string& new_password) {
  IM_ASSIGN_OR_RETURN(const LoginState state, store_->FindById(user_id));
  if (!state.credentials) return Error(Reason::TOKEN_INVALID, "the account does not exist");
  const std::string& user_name = state.credentials->user_name;
  IM_RETURN_IF_ERROR(CheckPassword("new_password", new_password, user_name));
  IM_RETURN_IF_ERROR(CheckCredentials(state, UserNameHash(user_name), current_password));
  IM_ASSIGN_OR_RETURN(const std::string hash, hasher_->Hash(new_password));
  IM_ASSIGN_OR_RETURN(
      const PasswordChange change,
      store_->ChangePassword(*state.credentials, hash, device_id, options_.clock()));
  if (change.outcome == LoginOutcome::kLoginLocked) return LockedUntil(change.locked_until);
  if (change.outcome != LoginOutcome::kOk) return Error(Reason::WRONG_CREDENTIALS);
  feed_->Announce(change.ended_devices);
  return absl::OkStatus();
}

absl::Status Logins::CheckCredentials(const LoginState& state, const std::string& name_hash,
                                      const std::string& password) {
  // While it is locked nothing is hashed, whether the name exists or not.
  if (state.locked_until && *state.locked_until > options_.clock()) {
    return LockedUntil(*state.locked_until);
  }
  IM_ASSIGN_OR_RETURN(const bool right,
                      hasher_->Matches(state.credentials ? state.credentials->password_hash
                                                         : nobody_->HashFor(name_hash),
                                       password));
  if (right && state.credentials) return absl::OkStatus();
  IM_ASSIGN_OR_RETURN(const Failure failure, store_->RecordFailure(name_hash, options_.clock()));
  // Others failed while this was hashed: of many guesses at once only the first few are answered.
  if (!failure.counted && failure.locked_until) return LockedUntil(*failure.locked_until);
  return Error(Reason::WRONG_CREDENTIALS);
}

absl::Status Logins::LockedUntil(Time time) const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - options_.clock());
  return Error(Reason::LOGIN_LOCKED, {},
               {.retry_after = std::max(left, std::chrono::milliseconds(1))});
}

NewDevice Logins::MakeDevice(const DeviceDescription& description) const {
  return {description, RefreshToken::New(), mint_->RefreshExpiry()};
}

absl::StatusOr<Admission> Logins::Admit(const LoggedIn& logged_in, const NewDevice& device) const {
  IM_ASSIGN_OR_RETURN(TokenPair tokens,
                      mint_->Mint(logged_in.profile.user_id, logged_in.device_id,
                                  device.refresh_token, device.refresh_expires_at));
  return Admission{logged_in.profile, std::move(tokens)};
}

}  // namespace im::auth
