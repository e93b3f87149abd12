#include "bench/crowd.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/conversations.grpc.pb.h"

namespace im::bench {

using auth::v1::AccountService;
using chat::v1::ConversationService;

namespace {

using std::chrono::steady_clock;

// Accounts in one transaction, and calls and streams on their way at once.
constexpr size_t kSeededAtOnce = 1'000;
constexpr size_t kCallsAtOnce = 32;
constexpr size_t kOpening = 200;
constexpr std::chrono::seconds kConnectLimit(120);
constexpr std::chrono::milliseconds kLook(2);

}  // namespace

absl::Status CallAll(size_t count, Progress* progress,
                     const std::function<void(size_t, std::function<void(absl::Status)>)>& one) {
  Mutex mu;
  CondVar changed;
  size_t under_way = 0;
  absl::Status failure;
  for (size_t i = 0; i < count; ++i) {
    {
      MutexLock lock(&mu);
      while (under_way >= kCallsAtOnce) changed.Wait(&mu);
      if (!failure.ok()) break;
      ++under_way;
    }
    one(i, [&](const absl::Status& status) {
      MutexLock lock(&mu);
      if (!status.ok()) failure = status;
      --under_way;
      changed.NotifyAll();
    });
    progress->Done(static_cast<int64_t>(i) + 1);
  }
  MutexLock lock(&mu);
  while (under_way > 0) changed.Wait(&mu);
  return failure;
}

absl::Status OpenStreams(size_t count, Progress* progress, const std::function<void(size_t)>& open,
                         const std::function<size_t()>& ready,
                         const std::function<absl::Status()>& failure) {
  progress->Begin("connecting", static_cast<int64_t>(count));
  const auto deadline = steady_clock::now() + kConnectLimit;
  const auto await = [&](size_t many) -> absl::Status {
    while (ready() < many) {
      IM_RETURN_IF_ERROR(failure());
      if (steady_clock::now() > deadline) {
        return absl::DeadlineExceededError(
            absl::StrCat("of ", count, " streams ", ready(), " are open"));
      }
      std::this_thread::sleep_for(kLook);
    }
    return absl::OkStatus();
  };
  for (size_t i = 0; i < count; ++i) {
    open(i);
    progress->Done(static_cast<int64_t>(i));
    if (i >= kOpening) IM_RETURN_IF_ERROR(await(i - kOpening));
  }
  return await(count);
}

absl::StatusOr<std::unique_ptr<Crowd>> Crowd::Gather(const Target& target, const std::string& name,
                                                     int count, Progress* progress) {
  std::vector<Account> gathered;
  const std::string run = RandomHex(4);
  const auto total = static_cast<size_t>(count);
  progress->Begin("accounts", count);
  while (gathered.size() < total) {
    std::vector<NewAccount> wanted;
    const size_t until = std::min(total, gathered.size() + kSeededAtOnce);
    for (size_t i = gathered.size(); i < until; ++i) {
      wanted.push_back({absl::StrCat(name, "-", run, "-", i), ""});
    }
    IM_ASSIGN_OR_RETURN(auto accounts, MakeAccounts(target, wanted));
    std::move(accounts.begin(), accounts.end(), std::back_inserter(gathered));
    progress->Done(static_cast<int64_t>(gathered.size()));
  }
  return Of(target, std::move(gathered), progress);
}

absl::StatusOr<std::unique_ptr<Crowd>> Crowd::Of(const Target& target,
                                                 std::vector<Account> accounts,
                                                 Progress* progress) {
  std::unique_ptr<Crowd> crowd(new Crowd);
  IM_ASSIGN_OR_RETURN(crowd->loop_, ClientLoop::Open(target));
  IM_ASSIGN_OR_RETURN(crowd->channel_, client::Channel::Open({.server = target.address,
                                                              .tls = !target.ca_file.empty(),
                                                              .ca_file = target.ca_file}));
  for (Account& account : accounts) crowd->people_.push_back({.account = std::move(account)});
  IM_RETURN_IF_ERROR(crowd->LogIn(progress));
  return crowd;
}

absl::Status OpenDirects(Crowd* crowd, Progress* progress, std::vector<int64_t>* conversation_ids) {
  progress->Begin("conversations", static_cast<int64_t>(conversation_ids->size()));
  return CallAll(
      conversation_ids->size(), progress, [=](size_t i, std::function<void(absl::Status)> done) {
        chat::v1::OpenDirectRequest request;
        request.set_user_id((*crowd)[2 * i + 1].account.user_id);
        crowd->channel().Call<ConversationService>(
            &ConversationService::Stub::async::OpenDirect, request, (*crowd)[2 * i].token,
            [=](const absl::StatusOr<chat::v1::OpenDirectResponse>& opened) {
              if (opened.ok()) {
                (*conversation_ids)[i] = opened->conversation().conversation_id();
              }
              done(opened.status());
            });
      });
}

absl::Status Crowd::LogIn(Progress* progress) {
  progress->Begin("log-ins", static_cast<int64_t>(people_.size()));
  return CallAll(people_.size(), progress, [&](size_t i, std::function<void(absl::Status)> done) {
    auth::v1::RefreshRequest request;
    request.set_refresh_token(people_[i].account.tokens.refresh_token());
    channel_->Call<AccountService>(
        &AccountService::Stub::async::Refresh, request, "",
        [this, i, done](const absl::StatusOr<auth::v1::RefreshResponse>& response) {
          if (response.ok()) {
            people_[i].token = response->tokens().access_token();
            people_[i].refresh_token = response->tokens().refresh_token();
          }
          done(response.status());
        });
  });
}

}  // namespace im::bench
