// Who may see whom, and which of those are connected.
//
// Each im-chat instance tells, for the users held here, its picture: their contacts with no block
// between the two. A person is seen only where every instance's picture agrees, so that whichever
// knows of a block first closes the curtain; the others are then asked afresh.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "services/presence/status.h"

namespace im::presence {

class Sight {
 public:
  // `feeds`: the number of im-chat instances, at least one.
  explicit Sight(size_t feeds);

  // Starts to hold a user, with nothing known; false if held already.
  bool Hold(UserId user);
  void Drop(UserId user);
  bool Holds(UserId user) const { return people_.contains(user); }

  struct Effect {
    // With whom sight was gained or lost, in both directions.
    std::vector<UserId> gained;
    std::vector<UserId> lost;
    // Feeds that have to be asked for the user afresh.
    std::vector<size_t> refresh;
  };
  // A feed's whole picture of a user. Of one not held: no effect.
  Effect Apply(size_t feed, UserId user, std::vector<UserId> visible);
  // A feed broke: what it said stays as far as known, but is not fresh.
  void Break(size_t feed);
  // Whether all feeds have told of the user since they broke last.
  bool Fresh(UserId user) const;

  // The user connected: they are a peer of those connected who may see them. Returns these.
  std::vector<UserId> Enter(UserId user);
  void Leave(UserId user);
  // Those connected who may see the user, and whom the user may see.
  const absl::flat_hash_set<UserId>& Peers(UserId user) const;

  // Whether a user who is Fresh may see another, connected or not.
  bool MaySee(UserId viewer, UserId subject) const;

 private:
  struct Picture {
    bool fresh = false;
    std::vector<UserId> visible;  // sorted
  };
  struct Person {
    std::vector<Picture> pictures;  // one a feed
    bool connected = false;
    absl::flat_hash_set<UserId> peers;
  };

  static bool IsFresh(const Person& person);
  static bool Lists(const Person& person, UserId other);
  // Adds the peers that are missing, and returns them.
  std::vector<UserId> Connect(UserId user, Person* person);

  const size_t feeds_;
  absl::flat_hash_map<UserId, Person> people_;
};

}  // namespace im::presence
