// The people of a run, and what carries them.
#pragma once

#include <functional>
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

// Begins `count` unary calls, some at once, and waits for them all; `one(i, done)` begins the i-th.
// After a failure, which it returns, no more are begun.
absl::Status CallAll(size_t count, Progress* progress,
                     const std::function<void(size_t, std::function<void(absl::Status)>)>& one);

// Opens streams, not too many at once: `open(i)` begins the i-th; `ready` says how many have caught
// up, `failure` whether one never will.
absl::Status OpenStreams(size_t count, Progress* progress, const std::function<void(size_t)>& open,
                         const std::function<size_t()>& ready,
                         const std::function<absl::Status()>& failure);

// Accounts that are logged in, one connection for their unary calls, and the loop for their
// streams, each of which has a connection of its own. Thread-safe.
class Crowd {
 public:
  // New accounts named NAME-..., anyone may write to them. Shows how far it is.
  static absl::StatusOr<std::unique_ptr<Crowd>> Gather(const Target& target,
                                                       const std::string& name, int count,
                                                       Progress* progress);

  // Accounts that are there.
  static absl::StatusOr<std::unique_ptr<Crowd>> Of(const Target& target,
                                                   std::vector<Account> accounts,
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

// Opens the direct conversation of the first two of the crowd, of the next two, and so on, as many
// as `conversation_ids` has room for.
absl::Status OpenDirects(Crowd* crowd, Progress* progress, std::vector<int64_t>* conversation_ids);

}  // namespace im::bench
