#include "imctl/profile_tokens.h"

#include <ctime>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "im/auth/v1/accounts.grpc.pb.h"

namespace im::imctl {
namespace {

// A token with less left may expire on the way.
constexpr int64_t kLeastLifeSeconds = 60;

bool IsGood(const Account& account, const std::string& refused) {
  return account.tokens.access_token() != refused &&
         account.tokens.access_expires_at().seconds() > time(nullptr) + kLeastLifeSeconds;
}

}  // namespace

ProfileTokens::ProfileTokens(Profile profile, std::shared_ptr<client::Channel> channel,
                             Workers* worker)
    : profile_(std::move(profile)), channel_(std::move(channel)), worker_(worker) {}

void ProfileTokens::GetToken(const std::string& refused, Done done) {
  const bool taken = worker_->TrySubmit([this, refused, done] { done(GetTokenNow(refused)); });
  if (!taken) done(absl::UnavailableError("too many wait for a token"));
}

absl::StatusOr<Account> ProfileTokens::ReadAccount() const {
  IM_ASSIGN_OR_RETURN(const std::optional<Account> account, profile_.ReadAccount());
  if (!account) {
    return absl::UnauthenticatedError("not logged in: imctl login NAME, or imctl register NAME");
  }
  // Another process may have logged the profile in elsewhere since.
  const std::string& server = channel_->options().server;
  if (account->server != server) {
    return absl::UnauthenticatedError(absl::StrCat("the profile is logged in on ", account->server,
                                                   " now, and no longer on ", server));
  }
  return *account;
}

absl::StatusOr<std::string> ProfileTokens::GetTokenNow(const std::string& refused) {
  IM_ASSIGN_OR_RETURN(Account account, ReadAccount());
  if (IsGood(account, refused)) return account.tokens.access_token();

  IM_ASSIGN_OR_RETURN(const Profile::Held lock, profile_.Lock());
  IM_ASSIGN_OR_RETURN(account, ReadAccount());
  if (IsGood(account, refused)) return account.tokens.access_token();

  auth::v1::RefreshRequest request;
  request.set_refresh_token(account.tokens.refresh_token());
  const auto response = channel_->Call(&auth::v1::AccountService::Stub::Refresh, request);
  if (!response.ok()) return response.status();
  account.tokens = response->tokens();
  IM_RETURN_IF_ERROR(profile_.WriteAccount(account));
  return account.tokens.access_token();
}

}  // namespace im::imctl
