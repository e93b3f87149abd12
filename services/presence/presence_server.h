// The presence book at work: fed by the gateways' links, im-chat's relations and the leases, and
// what it has to say sent on.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/workers.h"
#include "common/bus/link_server.h"
#include "common/pg/pool.h"
#include "services/presence/book.h"
#include "services/presence/pg_last_seen.h"
#include "services/presence/pg_leases.h"
#include "services/presence/relation_feed.h"

namespace im::presence {

struct PresenceServerOptions {
  // Of im-chat, one per instance; at least one.
  std::vector<std::shared_ptr<grpc::Channel>> chat;
  // The book's `feeds` is taken from `chat`.
  BookOptions book;
  // How often changes are told.
  std::chrono::milliseconds tick{1000};
  // How often leases are renewed and read, and times stored.
  std::chrono::milliseconds database_round{2000};
  std::chrono::milliseconds lease_life{12000};
  // How long a question waits for what it needs to be known.
  std::chrono::milliseconds patience{3000};
};

// Thread-safe. Owns two threads, for ticks and for the database. The pool must outlive it.
class PresenceServer : public bus::LinkHandler {
 public:
  struct Answer {
    Status status = Status::kOffline;
    std::optional<WallTime> last_seen;
  };

  PresenceServer(const PresenceServerOptions& options, pg::Pool* pool);
  ~PresenceServer() override;

  // Before any link comes; `links` must outlive Stop.
  void Start(bus::LinkServer* links);
  // Ends the threads and stores who is here now. Once the links are down.
  void Stop();

  // Of all sessions of the device. Fails with NOT_CONNECTED.
  absl::Status SetStatus(UserId user, DeviceId device, Status status);
  // In their order; those whom the viewer may not see are offline. Blocks; fails with
  // SERVICE_UNAVAILABLE while that cannot be told, DATABASE_UNAVAILABLE.
  absl::StatusOr<std::vector<Answer>> See(UserId viewer, const std::vector<UserId>& subjects);

  // Whether the database answered lately.
  bool Healthy() const;

  void OnLinkUp(const std::shared_ptr<bus::Link>& link) override;
  void OnLinkDown(const std::shared_ptr<bus::Link>& link) override;
  void OnSessionOpened(const std::shared_ptr<bus::Link>& link,
                       const bus::Session& session) override;
  void OnSessionClosed(const std::shared_ptr<bus::Link>& link, const bus::Session& session,
                       bool returning) override;
  void OnCall(const std::shared_ptr<bus::Link>& link, const bus::Session& session,
              internal::v1::SessionCall call) override;
  void OnAnnounced(const std::shared_ptr<bus::Link>& link) override;

 private:
  absl::StatusOr<std::vector<PresenceBook::Seen>> Look(UserId viewer,
                                                       const std::vector<UserId>& subjects);
  absl::StatusOr<std::string> SetSessionStatus(SessionKey key, const std::string& request)
      IM_REQUIRES(mu_);
  void Tick();
  void DatabaseRound();
  absl::Status StoreLastSeen();
  // Sends what the book has to say. Under the lock, so that what is sent stays in the order in
  // which it was decided: nothing told before a block comes after it.
  void Flush() IM_REQUIRES(mu_);
  SessionKey KeyOf(const bus::Link* link, uint64_t session) const IM_REQUIRES(mu_);

  const PresenceServerOptions options_;
  PgLeases leases_;
  PgLastSeen last_seen_;
  bus::LinkServer* links_ = nullptr;  // constant after Start
  std::atomic<std::chrono::steady_clock::duration> database_answered_{};
  std::atomic<int> looking_{0};

  Mutex mu_;
  CondVar changed_;
  PresenceBook book_ IM_GUARDED_BY(mu_);
  // Between Start and Stop.
  std::vector<std::unique_ptr<RelationFeed>> feeds_ IM_GUARDED_BY(mu_);
  LinkId next_link_ IM_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<const bus::Link*, LinkId> link_ids_ IM_GUARDED_BY(mu_);
  absl::flat_hash_map<LinkId, std::shared_ptr<bus::Link>> links_up_ IM_GUARDED_BY(mu_);

  std::unique_ptr<Ticker> ticker_;
  std::unique_ptr<Ticker> database_;
};

}  // namespace im::presence
