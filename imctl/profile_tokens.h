// The tokens of a profile, shared by all imctl processes that use it.
#pragma once

#include <memory>
#include <string>

#include "client/channel.h"
#include "client/tokens.h"
#include "common/base/workers.h"
#include "imctl/profile.h"

namespace im::imctl {

// Thread-safe. Tokens go only to the server that gave them. A refresh token works once: whoever
// exchanges it holds the profile's lock, and looks first whether another process has done so
// already.
class ProfileTokens : public client::TokenSource {
 public:
  // `worker` must outlive what asks for tokens, and not be destroyed by it: whoever asks may be let
  // go of on the worker's thread.
  ProfileTokens(Profile profile, std::shared_ptr<client::Channel> channel, Workers* worker);

  // On the worker, since it may wait for the lock and for the server.
  void GetToken(const std::string& refused, Done done) override;
  // The same, waiting for it.
  absl::StatusOr<std::string> GetTokenNow(const std::string& refused);

 private:
  // The account whose tokens are for this server.
  absl::StatusOr<Account> ReadAccount() const;

  const Profile profile_;
  const std::shared_ptr<client::Channel> channel_;
  Workers* const worker_;
};

}  // namespace im::imctl
