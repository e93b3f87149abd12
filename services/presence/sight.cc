#include "services/presence/sight.h"

#include <algorithm>

namespace im::presence {

Sight::Sight(size_t feeds) : feeds_(feeds) {}

bool Sight::Hold(UserId user) {
  const auto [entry, added] = people_.try_emplace(user);
  if (added) entry->second.pictures.resize(feeds_);
  return added;
}

void Sight::Drop(UserId user) {
  Leave(user);
  people_.erase(user);
}

bool Sight::IsFresh(const Person& person) {
  return std::all_of(person.pictures.begin(), person.pictures.end(),
                     [](const Picture& picture) { return picture.fresh; });
}

bool Sight::Lists(const Person& person, UserId other) {
  return std::all_of(person.pictures.begin(), person.pictures.end(), [&](const Picture& picture) {
    return std::binary_search(picture.visible.begin(), picture.visible.end(), other);
  });
}

Sight::Effect Sight::Apply(size_t feed, UserId user, std::vector<UserId> visible) {
  Effect effect;
  const auto found = people_.find(user);
  if (found == people_.end()) return effect;
  Person& person = found->second;
  Picture& picture = person.pictures[feed];
  std::sort(visible.begin(), visible.end());
  visible.erase(std::unique(visible.begin(), visible.end()), visible.end());
  picture.visible = std::move(visible);
  if (picture.fresh) {
    // A change, made by way of this instance: the others' pictures were drawn before it.
    for (size_t other = 0; other < feeds_; ++other) {
      if (other == feed) continue;
      person.pictures[other].fresh = false;
      effect.refresh.push_back(other);
    }
  }
  picture.fresh = true;
  for (const UserId peer : person.peers) {
    if (!Lists(person, peer)) effect.lost.push_back(peer);
  }
  for (const UserId peer : effect.lost) {
    person.peers.erase(peer);
    people_.at(peer).peers.erase(user);
  }
  effect.gained = Connect(user, &person);
  return effect;
}

void Sight::Break(size_t feed) {
  for (auto& [user, person] : people_) person.pictures[feed].fresh = false;
}

bool Sight::Fresh(UserId user) const {
  const auto found = people_.find(user);
  return found != people_.end() && IsFresh(found->second);
}

std::vector<UserId> Sight::Enter(UserId user) {
  Person& person = people_.at(user);
  person.connected = true;
  return Connect(user, &person);
}

std::vector<UserId> Sight::Connect(UserId user, Person* person) {
  std::vector<UserId> gained;
  if (!person->connected || !IsFresh(*person)) return gained;
  for (const UserId other : person->pictures[0].visible) {
    if (other == user || person->peers.contains(other)) continue;
    const auto found = people_.find(other);
    if (found == people_.end() || !found->second.connected) continue;
    if (!MaySee(user, other)) continue;
    person->peers.insert(other);
    found->second.peers.insert(user);
    gained.push_back(other);
  }
  return gained;
}

void Sight::Leave(UserId user) {
  const auto found = people_.find(user);
  if (found == people_.end()) return;
  for (const UserId peer : found->second.peers) people_.at(peer).peers.erase(user);
  found->second.peers.clear();
  found->second.connected = false;
}

const absl::flat_hash_set<UserId>& Sight::Peers(UserId user) const {
  static const absl::flat_hash_set<UserId> none;
  const auto found = people_.find(user);
  return found == people_.end() ? none : found->second.peers;
}

bool Sight::MaySee(UserId viewer, UserId subject) const {
  const Person& person = people_.at(viewer);
  if (!IsFresh(person) || !Lists(person, subject)) return false;
  const auto found = people_.find(subject);
  // The subject's own picture, where there is one, may know of a block that is still on its way to
  // the viewer's.
  return found == people_.end() || !IsFresh(found->second) || Lists(found->second, viewer);
}

}  // namespace im::presence
