// Devices that were ended, by whomever: told to this process's verifier and to all who watch.
//
// An instance pushes what it ends itself at once. What other instances and the operator's commands
// end it finds by asking the database a few times a second. The database's times are not in commit
// order, so each poll looks back further than a statement can take, and what is known is dropped.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/token/verifier.h"
#include "services/auth/pg_devices.h"
#include "services/auth/values.h"

namespace im::auth {

struct RevocationNews {
  std::vector<Revocation> revocations;
  // The first a watcher hears: all of the feed's window.
  bool snapshot = false;
  // The last a watcher hears: the process ends.
  bool closing = false;
};

// Thread-safe.
class RevocationFeed {
 public:
  // Called in order, under the feed's lock: must not block, nor call the feed.
  using Watcher = std::function<void(const RevocationNews&)>;

  // `window`: how far back a snapshot goes; longer than access tokens live. Nothing is owned.
  RevocationFeed(PgDevices* store, token::Verifier* verifier, std::chrono::seconds window);

  // Asks the database. Blocks; for one thread.
  absl::Status Poll() IM_EXCLUDES(mu_);

  // Devices whose end this process has just committed.
  void Announce(const std::vector<int64_t>& device_ids) IM_EXCLUDES(mu_);

  // The snapshot comes at once, or as soon as the first poll succeeded.
  uint64_t Watch(Watcher watcher) IM_EXCLUDES(mu_);
  // After this returned the watcher is not called.
  void Unwatch(uint64_t id) IM_EXCLUDES(mu_);

  // Tells all watchers, also those that come later.
  void Close() IM_EXCLUDES(mu_);

 private:
  // Those that are news, now known.
  std::vector<Revocation> Learn(const std::vector<Revocation>& revocations) IM_REQUIRES(mu_);
  void Tell(const RevocationNews& news) IM_REQUIRES(mu_);
  RevocationNews Snapshot() const IM_REQUIRES(mu_);
  void Forget(Time now) IM_REQUIRES(mu_);

  PgDevices* const store_;
  token::Verifier* const verifier_;
  const std::chrono::seconds window_;

  Mutex mu_;
  // The database's clock at the last poll; nullopt: there was none.
  std::optional<Time> polled_at_ IM_GUARDED_BY(mu_);
  std::unordered_map<int64_t, Time> known_ IM_GUARDED_BY(mu_);
  std::map<uint64_t, Watcher> watchers_ IM_GUARDED_BY(mu_);
  uint64_t last_id_ IM_GUARDED_BY(mu_) = 0;
  bool closing_ IM_GUARDED_BY(mu_) = false;
};

}  // namespace im::auth
