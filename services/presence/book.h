// What people are told of each other's presence, and when.
//
// The roster says who is connected, sight who may see whom. Here changes are gathered until the
// next Tick and told to those connected who may see them; each new session gets a picture of its
// contacts; whoever loses sight of somebody is told so at once. What is to be sent, watched and
// stored is taken by the caller, in that order, after each call.
//
// Not thread-safe. Knows no proto, network or SQL; time is what it is told.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "services/presence/roster.h"
#include "services/presence/sight.h"
#include "services/presence/status.h"

namespace im::presence {

struct BookOptions {
  // Instances of im-chat.
  size_t feeds = 1;
  RosterOptions roster;
  // While the roster is not settled, how long new sessions wait for the whole picture before they
  // get what is known so far.
  std::chrono::milliseconds partial_after{1000};
  // Ticks further apart than this mean that the process was stopped: what the feeds said may be
  // out of date without our having heard that they are cut.
  std::chrono::milliseconds stall{3000};
  // How long the relations of somebody who left are kept, for they are often back.
  std::chrono::milliseconds linger{30000};
};

// A change of a person's presence, for all sessions of some users.
struct Change {
  UserId user = 0;
  Status status = Status::kOffline;
  std::optional<WallTime> last_seen;
  std::vector<UserId> audience;
};

// For a new session: those who are not offline.
struct Portrait {
  SessionKey session;
  bool complete = false;
  std::vector<std::pair<UserId, Status>> present;
};

struct Outbox {
  std::vector<Change> changes;
  std::vector<Portrait> portraits;
};

// What the feeds of relations are to do.
struct WatchOrders {
  std::vector<UserId> add;
  std::vector<UserId> remove;
  // Feed and user: to be told afresh.
  std::vector<std::pair<size_t, UserId>> refresh;
};

struct BookCounters {
  uint64_t published = 0;
  // Statuses that were back to what people had been told before the tick.
  uint64_t coalesced = 0;
};

class PresenceBook {
 public:
  PresenceBook(const BookOptions& options, SteadyTime started);

  // Links, leases and statuses are the roster's.
  Roster& roster() { return roster_; }
  const Roster& roster() const { return roster_; }

  void Open(SessionKey key, UserId user, DeviceId device, Status status, bool primary, Moment now);
  // A feed's whole picture of a user. When the call returns, what it forbids is in force: whoever
  // lost sight is told so by the outbox.
  void SetVisible(size_t feed, UserId user, std::vector<UserId> visible);
  void FeedBroke(size_t feed) { sight_.Break(feed); }

  // To be called once a second: tells what changed.
  void Tick(Moment now);

  // Holds a user who may have no session, so that See can answer for them.
  void Watch(UserId user, Moment now);
  struct Seen {
    bool may_see = false;
    Status status = Status::kOffline;
    // Not stored yet.
    std::optional<WallTime> last_seen;
  };
  // What a user may see of others, in their order; nullopt if that cannot be told at the moment.
  std::optional<std::vector<Seen>> See(UserId viewer, const std::vector<UserId>& subjects,
                                       SteadyTime now) const;

  Outbox TakeOutbox();
  WatchOrders TakeWatchOrders();
  const BookCounters& counters() const { return counters_; }

 private:
  struct Told {
    // What those who may see the user have been told.
    Status status = Status::kOffline;
    // Some have been told otherwise, by a picture: tell again even if nothing changed.
    bool forced = false;
  };

  // Whether what the feeds said can be relied on.
  bool Trusted(SteadyTime now) const;
  void Hold(UserId user);
  void Gained(UserId user, const std::vector<UserId>& others);
  void Tell(UserId subject, UserId viewer);
  void Withdraw(UserId subject, UserId viewer);
  // True if there is nothing more to tell of the user now.
  bool Publish(UserId user);
  // True if the session waits no longer.
  bool SendPortrait(SessionKey key, SteadyTime now);
  // Of somebody who left, after that was told.
  void LetGo(UserId user, SteadyTime now);
  void KeepIdle(UserId user, SteadyTime until);
  void DropIdle(SteadyTime now);

  const BookOptions options_;
  const SteadyTime started_;
  Roster roster_;
  Sight sight_;
  bool trusted_ = false;
  std::optional<SteadyTime> last_tick_;
  absl::flat_hash_map<UserId, Told> told_;
  absl::flat_hash_set<UserId> dirty_;
  // Sessions that wait for their whole picture.
  absl::flat_hash_set<SessionKey> waiting_;
  // Users held without a session, and until when.
  absl::flat_hash_map<UserId, SteadyTime> idle_;
  Outbox outbox_;
  WatchOrders orders_;
  BookCounters counters_;
};

}  // namespace im::presence
