// The tokens of a profile, shared by all imctl processes that use it.
#pragma once

#include <memory>
#include <string>

#include "client/channel.h"
#include "client/tokens.h"
#include "common/base/workers.h"
#include "imctl/profile.h"

namespace im::imctl {

// Thread-safe. A refresh token works once: whoever exchanges it holds the profile's lock, and looks
// first whether another process has done so already.
class ProfileTokens : public client::TokenSource {
 public:
  ProfileTokens(Profile profile, std::shared_ptr<client::Channel> channel);

  // On a thread of its own, since it may wait for the lock and for the server.
  void GetToken(const std::string& refused, Done done) override;
  // The same, waiting for it.
  absl::StatusOr<std::string> GetTokenNow(const std::string& refused);

 private:
  const Profile profile_;
  const std::shared_ptr<client::Channel> channel_;
  Workers worker_{1, 1000};
};

}  // namespace im::imctl
