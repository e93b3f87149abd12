// Publishes to a gateway again what was stored lately, after its link was new, broke or overflowed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "common/base/mutex.h"
#include "common/base/workers.h"
#include "common/bus/link_server.h"
#include "common/pg/pool.h"
#include "services/chat/own_log.h"
#include "services/chat/pg_history_store.h"
#include "services/chat/pg_sync_store.h"

namespace im::chat {

// Thread-safe. Start does not block: `workers` do the reading, one catch-up at a time per link.
// They wait while the link is full, so give them threads that nothing urgent depends on.
class CatchUps {
 public:
  // All must outlive it.
  CatchUps(pg::Pool* pool, Workers* workers, OwnLog* own_log);
  // Waits for catch-ups under way; the links must be down, which ends them.
  ~CatchUps();

  // What was stored since then (microseconds since 1970), for the users that the link holds when it
  // is done; each call is answered by a CatchUpDone. Calls that wait for one that runs are done
  // together.
  void Start(const std::shared_ptr<bus::Link>& link, int64_t since);

 private:
  struct Wanted {
    int64_t since = 0;
    int calls = 0;
  };

  void Run(const std::shared_ptr<bus::Link>& link);
  absl::Status Publish(bus::Link* link, int64_t since);
  absl::Status PublishEntries(bus::Link* link, const std::vector<int64_t>& users, int64_t since);
  absl::Status PublishOwnLogs(bus::Link* link, const std::vector<int64_t>& users, int64_t since);

  const PgHistoryStore history_;
  const PgSyncStore sync_;
  Workers* const workers_;
  OwnLog* const own_log_;

  Mutex mu_;
  CondVar idle_;
  // Links with a catch-up under way, with what is wanted after it.
  std::map<std::shared_ptr<bus::Link>, Wanted> running_ IM_GUARDED_BY(mu_);
};

}  // namespace im::chat
