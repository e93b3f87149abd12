// The people of a run, and what carries them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/accounts.h"
#include "bench/client_loop.h"
#include "bench/progress.h"
#include "client/channel.h"

namespace im::bench {

struct Person {
  Account account;
  // Of access, for 15 minutes; and the one for the next.
  std::string token;
  std::string refresh_token;
};

// Accounts that are logged in, one connection for their unary calls, and the loop for their
// streams, each of which has a connection of its own. Thread-safe.
class Crowd {
 public:
  // New accounts named NAME-..., anyone may write to them. Shows how far it is.
  static absl::StatusOr<std::unique_ptr<Crowd>> Gather(const Target& target,
                                                       const std::string& name, int count,
                                                       Progress* progress);

  const Person& operator[](size_t i) const { return people_[i]; }
  size_t size() const { return people_.size(); }
  client::Channel& channel() const { return *channel_; }
  ClientLoop* loop() const { return loop_.get(); }

 private:
  Crowd() = default;
  absl::Status LogIn(Progress* progress);

  std::vector<Person> people_;
  std::shared_ptr<client::Channel> channel_;
  std::unique_ptr<ClientLoop> loop_;
};

}  // namespace im::bench
