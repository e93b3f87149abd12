#include "bench/population.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/rate.h"
#include "bench/seed.h"
#include "common/base/error.h"
#include "common/base/random.h"

namespace im::bench {
namespace {

using std::chrono::steady_clock;

// In one transaction.
constexpr int64_t kAtOnce = 1'000;

// Different ones, any of them.
std::vector<int64_t> Some(const std::vector<int64_t>& of, size_t count, std::mt19937_64* random) {
  std::vector<int64_t> some;
  std::set<int64_t> taken;
  while (some.size() < std::min(count, of.size())) {
    const int64_t one = of[(*random)() % of.size()];
    if (taken.insert(one).second) some.push_back(one);
  }
  return some;
}

}  // namespace

absl::Status Population::Add(int64_t users, int64_t conversations) {
  const std::string run = RandomHex(4);
  progress_->Begin("people", users);
  for (int64_t done = 0; done < users;) {
    std::vector<NewAccount> accounts;
    for (int64_t i = 0; i < std::min(kAtOnce, users - done); ++i) {
      accounts.push_back({absl::StrCat("seed-", run, "-", done + i), ""});
    }
    IM_ASSIGN_OR_RETURN(const auto seeded, SeedAccounts(database_url_, accounts));
    for (const Account& account : seeded) user_ids_.push_back(account.user_id);
    progress_->Done(done += static_cast<int64_t>(seeded.size()));
  }
  std::mt19937_64 random(static_cast<uint64_t>(user_ids_.size()));
  progress_->Begin("conversations", conversations);
  for (int64_t done = 0; done < conversations;) {
    std::vector<NewConversation> wanted;
    while (static_cast<int64_t>(wanted.size()) < std::min(kAtOnce, conversations - done)) {
      const size_t size = MembersOf(done + static_cast<int64_t>(wanted.size()));
      NewConversation one{Some(user_ids_, size, &random), size > 2};
      // A pair has one direct conversation; what it would be the second of is a group of two.
      if (!one.group) {
        const auto [low, high] = std::minmax(one.user_ids.at(0), one.user_ids.at(1));
        one.group = !pairs_.emplace(low, high).second;
      }
      wanted.push_back(std::move(one));
    }
    IM_ASSIGN_OR_RETURN(const auto ids, SeedConversations(database_url_, wanted));
    for (size_t i = 0; i < ids.size(); ++i) {
      conversations_.push_back({ids[i], std::move(wanted[i].user_ids)});
    }
    progress_->Done(done += static_cast<int64_t>(ids.size()));
  }
  return absl::OkStatus();
}

absl::Status Population::AddMessages(int64_t messages, size_t first) {
  std::vector<int64_t> ids;
  for (size_t i = first; i < conversations_.size(); ++i) ids.push_back(conversations_[i].id);
  if (ids.empty()) return absl::OkStatus();
  const auto many = static_cast<int64_t>(ids.size());
  const int64_t each = (messages + many - 1) / many;
  const int64_t before = messages_;
  progress_->Begin("messages", each * many);
  return SeedMessages(database_url_, ids, each, [&](int64_t more) {
    messages_ += more;
    progress_->Done(messages_ - before);
  });
}

absl::Status Population::Settle() {
  progress_->Begin("vacuum", 0);
  return Vacuum(database_url_);
}

Outcome Seed(const Target& target, const SeedOptions& options) {
  Outcome outcome{.scenario = "seed", .counted = "messages written"};
  const auto run = [&]() -> absl::Status {
    if (target.database_url.empty()) {
      return absl::FailedPreconditionError("this is written into the database: --database");
    }
    if (options.users < 2 && options.conversations > 0) {
      return absl::InvalidArgumentError("a conversation needs two people");
    }
    Progress progress;
    Population population(target.database_url, &progress);
    IM_RETURN_IF_ERROR(population.Add(options.users, options.conversations));
    const auto from = steady_clock::now();
    IM_RETURN_IF_ERROR(population.AddMessages(options.messages));
    outcome.seconds = std::chrono::duration<double>(steady_clock::now() - from).count();
    IM_RETURN_IF_ERROR(population.Settle());
    outcome.messages = population.messages();
    if (outcome.seconds > 0) {
      outcome.per_second = static_cast<double>(outcome.messages) / outcome.seconds;
    }
    outcome.more.Add("users", options.users).Add("conversations", options.conversations);
    outcome.more_text = absl::StrFormat("%d people, %d conversations, %d messages\n", options.users,
                                        options.conversations, outcome.messages);
    return absl::OkStatus();
  };
  outcome.failure = run();
  return outcome;
}

}  // namespace im::bench
