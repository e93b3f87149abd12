// What im-auth knows of accounts.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/rpc/channel.h"
#include "im/internal/v1/services.grpc.pb.h"

namespace im::chat {

// Thread-safe. Calls block.
class Directory {
 public:
  virtual ~Directory() = default;

  // USER_NOT_FOUND (metadata user_ids: up to 100 of those missing) unless all of them have an
  // account. Any number, in any order. SERVICE_UNAVAILABLE when im-auth cannot be asked.
  virtual absl::Status CheckExist(const std::vector<int64_t>& ids) = 0;
  // Those of `ids`, at most 10,000, whose user name or display name holds the text; sorted.
  virtual absl::StatusOr<std::vector<int64_t>> Match(const std::vector<int64_t>& ids,
                                                     const std::string& query) = 0;
};

// Asks im-auth: any of its instances, the next one where one does not answer. Remembers who exists,
// for accounts are not deleted.
class RpcDirectory : public Directory {
 public:
  explicit RpcDirectory(const std::vector<std::string>& addresses, const rpc::ChannelTls& tls = {});

  absl::Status CheckExist(const std::vector<int64_t>& ids) override;
  absl::StatusOr<std::vector<int64_t>> Match(const std::vector<int64_t>& ids,
                                             const std::string& query) override;

 private:
  using Stub = internal::v1::DirectoryService::Stub;

  // Fails with nothing but SERVICE_UNAVAILABLE.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Ask(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                               const Request& request);

  std::vector<std::unique_ptr<Stub>> stubs_;
  std::atomic<size_t> current_{0};
  Mutex mu_;
  absl::flat_hash_set<int64_t> known_ IM_GUARDED_BY(mu_);
};

}  // namespace im::chat
