#include "bench/crowd.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "im/auth/v1/accounts.grpc.pb.h"

namespace im::bench {

using auth::v1::AccountService;

namespace {

// Accounts in one transaction, and log-ins under way at once.
constexpr size_t kSeededAtOnce = 1'000;
constexpr size_t kLogInsAtOnce = 32;

}  // namespace

absl::StatusOr<std::unique_ptr<Crowd>> Crowd::Gather(const Target& target, const std::string& name,
                                                     int count, Progress* progress) {
  std::unique_ptr<Crowd> crowd(new Crowd);
  IM_ASSIGN_OR_RETURN(crowd->loop_, ClientLoop::Open(target));
  IM_ASSIGN_OR_RETURN(crowd->channel_, client::Channel::Open({.server = target.address,
                                                              .tls = !target.ca_file.empty(),
                                                              .ca_file = target.ca_file}));
  const std::string run = RandomHex(4);
  const auto total = static_cast<size_t>(count);
  progress->Begin("accounts", count);
  while (crowd->people_.size() < total) {
    std::vector<NewAccount> wanted;
    const size_t until = std::min(total, crowd->people_.size() + kSeededAtOnce);
    for (size_t i = crowd->people_.size(); i < until; ++i) {
      wanted.push_back({absl::StrCat(name, "-", run, "-", i), ""});
    }
    IM_ASSIGN_OR_RETURN(auto accounts, MakeAccounts(target, wanted));
    for (Account& account : accounts) crowd->people_.push_back({.account = std::move(account)});
    progress->Done(static_cast<int64_t>(crowd->people_.size()));
  }
  IM_RETURN_IF_ERROR(crowd->LogIn(progress));
  return crowd;
}

absl::Status Crowd::LogIn(Progress* progress) {
  progress->Begin("log-ins", static_cast<int64_t>(people_.size()));
  Mutex mu;
  CondVar changed;
  size_t under_way = 0;
  absl::Status failure;
  for (size_t i = 0; i <= people_.size(); ++i) {
    {
      // After the last: until all have answered.
      const size_t most = i < people_.size() ? kLogInsAtOnce - 1 : 0;
      MutexLock lock(&mu);
      while (under_way > most) changed.Wait(&mu);
      if (!failure.ok() && under_way == 0) return failure;
      if (!failure.ok() || i == people_.size()) continue;
      ++under_way;
    }
    auth::v1::RefreshRequest request;
    request.set_refresh_token(people_[i].account.tokens.refresh_token());
    channel_->Call<AccountService>(&AccountService::Stub::async::Refresh, request, "",
                                   [&, i](absl::StatusOr<auth::v1::RefreshResponse> response) {
                                     MutexLock lock(&mu);
                                     if (response.ok()) {
                                       people_[i].token = response->tokens().access_token();
                                       people_[i].refresh_token =
                                           response->tokens().refresh_token();
                                     } else {
                                       failure = response.status();
                                     }
                                     --under_way;
                                     changed.NotifyAll();
                                   });
    progress->Done(static_cast<int64_t>(i) + 1);
  }
  return failure;
}

}  // namespace im::bench
