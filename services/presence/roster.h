// Who is connected: links to gateways, the sessions on them, and what they make of each person.
//
// Not thread-safe. A session whose gateway broke off, or sent it away to come back at once, is
// held: it counts until its device opens another, its gateway's lease has lapsed, or its time is
// up. So nobody flickers while something restarts.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "services/presence/status.h"

namespace im::presence {

struct RosterOptions {
  // How long a session that was announced as returning counts.
  std::chrono::milliseconds returning_hold{10000};
  // How long those of a link that broke count at least, whatever the lease says: a gateway comes
  // back within a second or two, but this process may have been stopped meanwhile.
  std::chrono::milliseconds broken_hold{8000};
  // How long after its start nobody is declared offline: gateways without a lease come back, too.
  std::chrono::milliseconds settle{2000};
  // A reading of the leases older than this says nothing.
  std::chrono::milliseconds leases_valid{6000};
};

class Roster {
 public:
  Roster(const RosterOptions& options, SteadyTime started);

  // A link of the same gateway that is still up has broken, though nobody noticed yet.
  void LinkUp(LinkId link, const std::string& gateway, Moment now);
  void LinkDown(LinkId link, Moment now);
  // The gateway has opened all that it holds: what its earlier links held and it did not open again
  // is gone.
  void Announced(LinkId link, Moment now);

  // A session that its gateway opens again, here or on a new link, keeps the status that was set
  // for its device. False, and nothing done, if the link is not up.
  bool Open(SessionKey key, UserId user, DeviceId device, Status status, bool primary, Moment now);
  void Close(SessionKey key, bool returning, Moment now);
  // By a frame on the session's stream. False if there is no such session.
  bool SetStatus(SessionKey key, Status status, Moment now);
  // By a unary call, of all sessions of a device, which are returned.
  std::vector<SessionKey> SetDeviceStatus(UserId user, DeviceId device, Status status, Moment now);

  // The gateways whose leases were live when they were read.
  void SetLeases(absl::flat_hash_set<std::string> live, SteadyTime now);
  // Ends what is held no longer.
  void Expire(Moment now);
  // Whether who is not here is offline: false after the start, until each gateway with a live lease
  // has announced its sessions or lapsed. Once true it stays so.
  bool settled() const { return settled_; }

  // Has a session, held or not.
  bool Connected(UserId user) const;
  // As others see it.
  Status StatusOf(UserId user) const;
  // Whether this instance tells others of the user; stays as it was after the last session.
  bool Primary(UserId user) const;
  // When they were last to be seen; of use after a visible session ended.
  WallTime SeenAt(UserId user) const;

  // Whether a session is there, and not held.
  bool Live(SessionKey key) const;
  std::optional<UserId> FindUser(SessionKey key) const;
  // A session that got its first picture, so that changes mean something to it.
  void SetPictured(SessionKey key);
  bool HasPicture(SessionKey key) const;
  // Whether a live session of the user got it.
  bool Pictured(UserId user) const;
  // Whether this instance gives the session its first picture: as primary, or since the link itself
  // is new, so that what was published before was missed.
  bool WantsPicture(SessionKey key) const;

  // Users whose sessions changed since the last call; each once.
  std::vector<UserId> TakeChanged();
  // Forgets a user who has no session.
  void Forget(UserId user);

  // When people were seen, as to be stored; those of this instance only.
  std::vector<std::pair<UserId, WallTime>> TakeUnsaved(size_t limit);
  // Everybody who is here, before the process ends.
  void SeeAll(WallTime now);
  // What was taken last is stored, or has to be taken again.
  void Saved(bool stored);
  std::optional<WallTime> FindUnsaved(UserId user) const;

  // Gateways with a link, to renew their leases.
  std::vector<std::string> LinkedGateways() const;
  // Those that left in order, with nothing to wait for: their leases can go.
  std::vector<std::string> TakeReleased();

  size_t sessions() const { return sessions_.size(); }
  size_t users_connected() const { return users_connected_; }

 private:
  struct Session {
    UserId user = 0;
    DeviceId device = 0;
    Status status = Status::kOffline;
    // As its gateway knows it: what was set by a unary call passes the gateway by.
    Status announced = Status::kOffline;
    bool primary = false;
    bool wants_picture = false;
    bool pictured = false;
    // Of a device's sessions the newest decides.
    uint64_t order = 0;
    std::optional<SteadyTime> returning_until;
    // Since when it is held.
    WallTime gone_at;
  };
  struct Link {
    std::string gateway;
    bool announced = false;
    std::optional<SteadyTime> broken_at;
    absl::flat_hash_set<uint64_t> sessions;
  };
  struct Person {
    std::vector<SessionKey> sessions;
    bool primary = false;
    WallTime seen_at;
  };

  bool Held(SessionKey key, const Session& session) const;
  // What the status of a session is to be that opens with `announced`.
  Status StatusToOpen(SessionKey key, DeviceId device, Status announced,
                      const Person& person) const;
  void End(SessionKey key, WallTime at);
  void Break(LinkId id, Link* link, Moment now);
  void EraseIfEmpty(LinkId id);
  void Change(Session* session, Status status, WallTime at);
  void Seen(const Session& session, WallTime at);
  void Changed(UserId user);
  bool LeasesKnown(SteadyTime now) const;
  bool GatewayLinked(const std::string& gateway) const;
  void Settle(SteadyTime now);

  const RosterOptions options_;
  const SteadyTime started_;
  absl::flat_hash_map<LinkId, Link> links_;
  absl::flat_hash_map<SessionKey, Session> sessions_;
  absl::flat_hash_map<UserId, Person> people_;
  size_t users_connected_ = 0;
  uint64_t next_order_ = 0;
  // By time; may name sessions that are gone.
  std::deque<std::pair<SteadyTime, SessionKey>> returning_;
  absl::flat_hash_set<UserId> changed_;
  absl::flat_hash_map<UserId, WallTime> unsaved_;
  absl::flat_hash_map<UserId, WallTime> saving_;
  std::vector<std::string> released_;
  std::optional<SteadyTime> leases_read_at_;
  absl::flat_hash_set<std::string> leases_;
  // Gateways that announced all they have; only of use until settled.
  absl::flat_hash_set<std::string> announced_;
  bool settled_ = false;
};

}  // namespace im::presence
