// What one im-chat instance tells of who may see whom: a stream that is kept up.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/mutex.h"
#include "common/base/workers.h"
#include "im/internal/v1/services.grpc.pb.h"
#include "services/presence/status.h"

namespace im::presence {

// Thread-safe. After a break all users are asked for again on a new stream. Handlers are called on
// gRPC's threads, one at a time, and must not block.
class RelationFeed {
 public:
  using Picture = std::pair<UserId, std::vector<UserId>>;
  struct Handlers {
    // When it returns, the pictures are in force, and are acknowledged.
    std::function<void(std::vector<Picture>)> on_pictures;
    // What was told before may be out of date.
    std::function<void()> on_broken;
  };

  RelationFeed(std::shared_ptr<grpc::Channel> channel, Handlers handlers);
  // No handler runs after it returned.
  ~RelationFeed();
  RelationFeed(const RelationFeed&) = delete;
  RelationFeed& operator=(const RelationFeed&) = delete;

  void Add(UserId user);
  void Remove(UserId user);
  // Asks for a user's picture afresh.
  void Refresh(UserId user);
  // Whether the instance has answered, and the stream stands.
  bool up() const;

 private:
  class Stream;

  void KeepUp();
  void WriteLocked() IM_REQUIRES(mu_);
  void OnResponse(const internal::v1::WatchRelationsResponse& response);
  void OnEnded();

  const std::unique_ptr<internal::v1::RelationService::Stub> stub_;
  const Handlers handlers_;

  mutable Mutex mu_;
  CondVar ended_;
  // Deletes itself after OnEnded.
  Stream* stream_ IM_GUARDED_BY(mu_) = nullptr;
  // It takes writes.
  bool open_ IM_GUARDED_BY(mu_) = false;
  bool up_ IM_GUARDED_BY(mu_) = false;
  bool writing_ IM_GUARDED_BY(mu_) = false;
  // Whom we want to know of, and whether the stream has been asked.
  absl::flat_hash_map<UserId, bool> users_ IM_GUARDED_BY(mu_);
  absl::flat_hash_set<UserId> to_add_ IM_GUARDED_BY(mu_);
  absl::flat_hash_set<UserId> to_remove_ IM_GUARDED_BY(mu_);
  uint64_t to_acknowledge_ IM_GUARDED_BY(mu_) = 0;
  uint64_t acknowledged_ IM_GUARDED_BY(mu_) = 0;
  internal::v1::WatchRelationsRequest request_;  // while writing_
  std::unique_ptr<Ticker> keeper_;
};

}  // namespace im::presence
