// im.internal.v1.RelationService: tells im-presence who may see whom.
//
// A watcher names users and hears the whole picture of each, then a new one after each change. What
// is sent is read from the database after the change, on a thread of this class, so that pictures
// merge when they come faster than a watcher takes them, and never go back.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/workers.h"
#include "im/internal/v1/services.grpc.pb.h"

namespace im::chat {

class ContactStore;

// Register with the server (rpc::ServerConfig.services). Thread-safe.
class RelationService : public internal::v1::RelationService::CallbackService {
 public:
  class Watcher;
  // What is on its way to the watchers: to each, all up to a mark.
  using Ticket = std::vector<std::pair<std::shared_ptr<Watcher>, uint64_t>>;

  explicit RelationService(ContactStore* store);
  ~RelationService() override;

  grpc::ServerBidiReactor<internal::v1::WatchRelationsRequest,
                          internal::v1::WatchRelationsResponse>*
  WatchRelations(grpc::CallbackServerContext* context) override;

  // After the commit of a change between users: sends their pictures to those who watch any of
  // them. Does not block.
  Ticket Changed(const std::vector<int64_t>& users);
  // Blocks until all watchers have acknowledged what the ticket is for. Those that have not after
  // `patience` lose their stream: they must take a new snapshot.
  void WaitInForce(const Ticket& ticket, std::chrono::milliseconds patience);
  // Ends the streams of those who watch any of them, for it is not known what holds between them.
  void CutWatchers(const std::vector<int64_t>& users);

  // Ends all streams and takes no more.
  void Shutdown();

 private:
  std::vector<std::shared_ptr<Watcher>> Watchers() const;
  void Remove(const std::shared_ptr<Watcher>& watcher);

  ContactStore* const store_;
  mutable Mutex mu_;
  std::set<std::shared_ptr<Watcher>> watchers_ IM_GUARDED_BY(mu_);
  bool closing_ IM_GUARDED_BY(mu_) = false;
  // Reads pictures. Its own: those who call BlockUser hold the server's workers while they wait.
  // Last, for its work uses the rest.
  Workers readers_;
};

}  // namespace im::chat
