#include "client/tokens.h"

#include "common/base/error.h"

namespace im::client {

using auth::v1::AccountService;

void FixedToken::GetToken(const std::string& refused, Done done) {
  if (refused == token_) {
    done(Error(Reason::TOKEN_EXPIRED));
  } else {
    done(token_);
  }
}

MemoryTokens::MemoryTokens(std::shared_ptr<Channel> channel, auth::v1::Tokens tokens)
    : channel_(std::move(channel)), state_(std::make_shared<State>()) {
  MutexLock lock(&state_->mu);
  state_->tokens = std::move(tokens);
}

auth::v1::Tokens MemoryTokens::tokens() const {
  MutexLock lock(&state_->mu);
  return state_->tokens;
}

void MemoryTokens::GetToken(const std::string& refused, Done done) {
  auth::v1::RefreshRequest request;
  std::string token;
  {
    MutexLock lock(&state_->mu);
    if (state_->waiting.empty() && state_->tokens.access_token() != refused) {
      token = state_->tokens.access_token();
    } else {
      state_->waiting.push_back(done);
      if (state_->waiting.size() > 1) return;
      request.set_refresh_token(state_->tokens.refresh_token());
    }
  }
  if (!token.empty()) return done(std::move(token));
  channel_->Call<AccountService>(
      &AccountService::Stub::async::Refresh, request, "",
      [state = state_](absl::StatusOr<auth::v1::RefreshResponse> response) {
        std::vector<Done> waiting;
        absl::StatusOr<std::string> answer = "";
        {
          MutexLock lock(&state->mu);
          if (response.ok()) {
            state->tokens = response->tokens();
            answer = state->tokens.access_token();
          } else {
            answer = response.status();
          }
          waiting.swap(state->waiting);
        }
        for (Done& one : waiting) one(answer);
      });
}

}  // namespace im::client
