// Where a device's access tokens come from.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/timers.h"
#include "common/base/mutex.h"
#include "im/auth/v1/accounts.grpc.pb.h"

namespace im::client {

// Thread-safe.
class TokenSource {
 public:
  using Done = std::function<void(absl::StatusOr<std::string>)>;

  virtual ~TokenSource() = default;

  // Calls `done` with an access token, soon and once, on any thread, perhaps before it returns.
  // `refused`: a token that the server did not take or that is about to expire; the answer must be
  // another one. Empty: the one at hand will do. UNAUTHENTICATED and PERMISSION_DENIED say that
  // there will be none any more; other errors, that trying again may help.
  virtual void GetToken(const std::string& refused, Done done) = 0;
};

// A token that is never refreshed, e.g. of a short test.
class FixedToken : public TokenSource {
 public:
  explicit FixedToken(std::string token) : token_(std::move(token)) {}
  void GetToken(const std::string& refused, Done done) override;

 private:
  const std::string token_;
};

// Keeps a pair of tokens in memory and refreshes them by Refresh.
class MemoryTokens : public TokenSource {
 public:
  MemoryTokens(std::shared_ptr<Channel> channel, auth::v1::Tokens tokens);

  void GetToken(const std::string& refused, Done done) override;
  auth::v1::Tokens tokens() const;

 private:
  struct State {
    Mutex mu;
    auth::v1::Tokens tokens IM_GUARDED_BY(mu);
    // Those who wait for the refresh under way; not empty while there is one.
    std::vector<Done> waiting IM_GUARDED_BY(mu);
  };

  const std::shared_ptr<Channel> channel_;
  // Shared with the callback of a refresh under way.
  const std::shared_ptr<State> state_;
};

}  // namespace im::client
