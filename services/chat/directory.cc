#include "services/chat/directory.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/log.h"

namespace im::chat {
namespace {

// A person waits for the answer, and im-auth answers from memory or by one query.
constexpr std::chrono::milliseconds kTimeout{2000};
// FindUsers takes no more.
constexpr size_t kMostAtOnce = 1000;
// 8 bytes each and some; when it is full it starts anew, which costs a call each.
constexpr size_t kMostKnown = 1'000'000;

}  // namespace

RpcDirectory::RpcDirectory(const std::vector<std::string>& addresses, const rpc::ChannelTls& tls) {
  for (const std::string& address : addresses) {
    stubs_.push_back(internal::v1::DirectoryService::NewStub(rpc::Connect(address, tls)));
  }
}

template <typename Request, typename Response>
absl::StatusOr<Response> RpcDirectory::Ask(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                        const Request&, Response*),
                                           const Request& request) {
  rpc::Caller caller;
  caller.request_id = LogContext::RequestId();
  const size_t first = current_.load();
  for (size_t i = 0; i < stubs_.size(); ++i) {
    const size_t at = (first + i) % stubs_.size();
    absl::StatusOr<Response> response =
        rpc::Call<Request, Response>(stubs_[at].get(), method, request, caller, kTimeout);
    if (response.ok()) {
      current_.store(at);
      return response;
    }
    Log(LogLevel::kWarning, "directory_failed", {{"what", Describe(response.status())}});
  }
  return Error(Reason::SERVICE_UNAVAILABLE, "accounts cannot be looked up at the moment");
}

absl::Status RpcDirectory::CheckExist(const std::vector<int64_t>& ids) {
  std::vector<int64_t> unknown;
  {
    MutexLock lock(&mu_);
    for (const int64_t id : ids) {
      if (!known_.contains(id)) unknown.push_back(id);
    }
  }
  std::vector<int64_t> missing;
  for (size_t begin = 0; begin < unknown.size(); begin += kMostAtOnce) {
    const size_t end = std::min(begin + kMostAtOnce, unknown.size());
    internal::v1::FindUsersRequest request;
    request.mutable_user_ids()->Add(unknown.begin() + static_cast<ptrdiff_t>(begin),
                                    unknown.begin() + static_cast<ptrdiff_t>(end));
    IM_ASSIGN_OR_RETURN(const internal::v1::FindUsersResponse response,
                        Ask(&Stub::FindUsers, request));
    const absl::flat_hash_set<int64_t> found(response.user_ids().begin(),
                                             response.user_ids().end());
    MutexLock lock(&mu_);
    if (known_.size() + found.size() > kMostKnown) known_.clear();
    for (const int64_t id : request.user_ids()) {
      if (found.contains(id)) {
        known_.insert(id);
      } else {
        missing.push_back(id);
      }
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return ErrorAboutUsers(Reason::USER_NOT_FOUND, missing);
}

absl::StatusOr<std::vector<int64_t>> RpcDirectory::Match(const std::vector<int64_t>& ids,
                                                         const std::string& query) {
  internal::v1::MatchUsersRequest request;
  request.mutable_user_ids()->Add(ids.begin(), ids.end());
  request.set_query(query);
  IM_ASSIGN_OR_RETURN(const internal::v1::MatchUsersResponse response,
                      Ask(&Stub::MatchUsers, request));
  std::vector<int64_t> matching(response.user_ids().begin(), response.user_ids().end());
  std::sort(matching.begin(), matching.end());
  return matching;
}

}  // namespace im::chat
