// People with conversations that hold messages, as many as wanted.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/outcome.h"
#include "bench/progress.h"

namespace im::bench {

struct SeedOptions {
  int64_t users = 1'000;
  // Of mixed size, as those of the scenario `rate`.
  int64_t conversations = 500;
  // In all of these conversations together.
  int64_t messages = 10'000;
};

// Grows in the target's database. Not thread-safe.
class Population {
 public:
  // `progress` must outlive it.
  Population(std::string database_url, Progress* progress)
      : database_url_(std::move(database_url)), progress_(progress) {}

  // Adds people, and conversations among all who are there by then.
  absl::Status Add(int64_t users, int64_t conversations);
  // Adds messages to the conversations from the `first`-th on, as many to each; `messages` is what
  // these shall get together.
  absl::Status AddMessages(int64_t messages, size_t first = 0);
  // Leaves the tables as a database does that runs for long.
  absl::Status Settle();

  struct Conversation {
    int64_t id = 0;
    std::vector<int64_t> user_ids;
  };
  const std::vector<Conversation>& conversations() const { return conversations_; }
  int64_t users() const { return static_cast<int64_t>(user_ids_.size()); }
  int64_t messages() const { return messages_; }

 private:
  const std::string database_url_;
  Progress* const progress_;
  std::vector<int64_t> user_ids_;
  std::vector<Conversation> conversations_;
  // Who has a direct conversation.
  std::set<std::pair<int64_t, int64_t>> pairs_;
  int64_t messages_ = 0;
};

// The command: how many messages a second it wrote.
Outcome Seed(const Target& target, const SeedOptions& options);

}  // namespace im::bench
