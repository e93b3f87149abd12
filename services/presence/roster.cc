#include "services/presence/roster.h"

#include <algorithm>

namespace im::presence {

Roster::Roster(const RosterOptions& options, SteadyTime started)
    : options_(options), started_(started) {}

void Roster::LinkUp(LinkId link, const std::string& gateway, Moment now) {
  for (auto& [id, other] : links_) {
    if (other.gateway == gateway && !other.broken_at) Break(id, &other, now);
  }
  links_[link].gateway = gateway;
}

void Roster::LinkDown(LinkId link, Moment now) {
  const auto found = links_.find(link);
  if (found == links_.end()) return;
  if (!found->second.broken_at) Break(link, &found->second, now);
  const bool drained = std::all_of(
      found->second.sessions.begin(), found->second.sessions.end(), [&](uint64_t number) {
        return sessions_.at({link, number}).returning_until.has_value();
      });
  if (drained && !GatewayLinked(found->second.gateway)) {
    released_.push_back(found->second.gateway);
  }
  EraseIfEmpty(link);
}

void Roster::Break(LinkId id, Link* link, Moment now) {
  link->broken_at = now.steady;
  for (const uint64_t number : link->sessions) {
    Session& session = sessions_.at({id, number});
    if (!session.returning_until) session.gone_at = now.wall;
  }
}

void Roster::Announced(LinkId link, Moment now) {
  const auto found = links_.find(link);
  if (found == links_.end() || found->second.broken_at) return;
  found->second.announced = true;
  const std::string gateway = found->second.gateway;
  if (!settled_) announced_.insert(gateway);
  std::vector<SessionKey> gone;
  std::vector<LinkId> earlier;
  for (const auto& [id, other] : links_) {
    if (id == link || other.gateway != gateway) continue;
    earlier.push_back(id);
    for (const uint64_t number : other.sessions) {
      if (!sessions_.at({id, number}).returning_until) gone.push_back({id, number});
    }
  }
  for (const SessionKey key : gone) End(key, sessions_.at(key).gone_at);
  for (const LinkId id : earlier) EraseIfEmpty(id);
  Settle(now.steady);
}

bool Roster::Open(SessionKey key, UserId user, DeviceId device, Status status, bool primary,
                  Moment now) {
  const auto link = links_.find(key.link);
  if (link == links_.end() || link->second.broken_at) return false;
  Person& person = people_[user];
  const Status kept = StatusToOpen(key, device, status, person);
  if (sessions_.contains(key)) End(key, now.wall);
  // The device is back: what was held for it is over.
  std::vector<SessionKey> superseded;
  for (const SessionKey other : person.sessions) {
    const Session& session = sessions_.at(other);
    if (session.device == device && Held(other, session)) superseded.push_back(other);
  }
  for (const SessionKey other : superseded) {
    End(other, now.wall);
    EraseIfEmpty(other.link);
  }
  Session session;
  session.user = user;
  session.device = device;
  session.status = kept;
  session.announced = status;
  session.primary = primary;
  session.wants_picture = primary || !link->second.announced;
  session.pictured = !session.wants_picture;
  session.order = ++next_order_;
  link->second.sessions.insert(key.number);
  if (person.sessions.empty()) ++users_connected_;
  person.sessions.push_back(key);
  person.primary = primary;
  for (const SessionKey other : person.sessions) {
    if (other != key) person.primary = person.primary || sessions_.at(other).primary;
  }
  Seen(session, now.wall);
  sessions_.emplace(key, session);
  Changed(user);
  return true;
}

void Roster::Close(SessionKey key, bool returning, Moment now) {
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return;
  // A device that is back already, by another stream, is not waited for.
  const std::vector<SessionKey>& others = people_.at(found->second.user).sessions;
  const bool back = std::any_of(others.begin(), others.end(), [&](SessionKey other_key) {
    const Session& other = sessions_.at(other_key);
    return other.device == found->second.device && other.order > found->second.order &&
           !Held(other_key, other);
  });
  if (!returning || back) {
    End(key, now.wall);
    return;
  }
  found->second.gone_at = now.wall;
  found->second.returning_until = now.steady + options_.returning_hold;
  returning_.emplace_back(*found->second.returning_until, key);
}

void Roster::End(SessionKey key, WallTime at) {
  const auto found = sessions_.find(key);
  const Session session = found->second;
  Seen(session, at);
  sessions_.erase(found);
  links_.at(key.link).sessions.erase(key.number);
  Person& person = people_.at(session.user);
  std::erase(person.sessions, key);
  if (person.sessions.empty()) {
    --users_connected_;
  } else {
    person.primary = std::any_of(person.sessions.begin(), person.sessions.end(),
                                 [&](SessionKey other) { return sessions_.at(other).primary; });
  }
  Changed(session.user);
}

void Roster::Seen(const Session& session, WallTime at) {
  // An invisible device leaves no trace.
  if (Shown(session.status) == Status::kOffline) return;
  Person& person = people_.at(session.user);
  person.seen_at = std::max(person.seen_at, at);
  if (!session.primary) return;
  WallTime& unsaved = unsaved_[session.user];
  unsaved = std::max(unsaved, at);
}

Status Roster::StatusToOpen(SessionKey key, DeviceId device, Status announced,
                            const Person& person) const {
  const std::string& gateway = links_.at(key.link).gateway;
  for (const SessionKey other : person.sessions) {
    const Session& session = sessions_.at(other);
    const bool same = other.number == key.number && session.device == device &&
                      links_.at(other.link).gateway == gateway && !session.returning_until;
    if (same && session.announced == announced) return session.status;
  }
  return announced;
}

bool Roster::SetStatus(SessionKey key, Status status, Moment now) {
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return false;
  found->second.announced = status;
  Change(&found->second, status, now.wall);
  return true;
}

void Roster::Change(Session* session, Status status, WallTime at) {
  if (session->status == status) return;
  Seen(*session, at);
  session->status = status;
  Seen(*session, at);
  Changed(session->user);
}

std::vector<SessionKey> Roster::SetDeviceStatus(UserId user, DeviceId device, Status status,
                                                Moment now) {
  std::vector<SessionKey> set;
  const auto person = people_.find(user);
  if (person == people_.end()) return set;
  for (const SessionKey key : person->second.sessions) {
    Session& session = sessions_.at(key);
    if (session.device != device) continue;
    Change(&session, status, now.wall);
    set.push_back(key);
  }
  return set;
}

void Roster::SetLeases(absl::flat_hash_set<std::string> live, SteadyTime now) {
  leases_ = std::move(live);
  leases_read_at_ = now;
}

bool Roster::LeasesKnown(SteadyTime now) const {
  return leases_read_at_ && now - *leases_read_at_ <= options_.leases_valid;
}

void Roster::Expire(Moment now) {
  while (!returning_.empty() && returning_.front().first <= now.steady) {
    const auto [until, key] = returning_.front();
    returning_.pop_front();
    const auto found = sessions_.find(key);
    if (found == sessions_.end() || found->second.returning_until != until) continue;
    End(key, found->second.gone_at);
    EraseIfEmpty(key.link);
  }
  if (LeasesKnown(now.steady)) {
    std::vector<SessionKey> gone;
    std::vector<LinkId> lapsed;
    for (const auto& [id, link] : links_) {
      if (!link.broken_at || now.steady - *link.broken_at < options_.broken_hold) continue;
      // The gateway may be linked to another instance, which renews its lease, or be back here and
      // still announcing.
      if (leases_.contains(link.gateway) || GatewayLinked(link.gateway)) continue;
      lapsed.push_back(id);
      for (const uint64_t number : link.sessions) {
        if (!sessions_.at({id, number}).returning_until) gone.push_back({id, number});
      }
    }
    for (const SessionKey key : gone) End(key, sessions_.at(key).gone_at);
    for (const LinkId id : lapsed) EraseIfEmpty(id);
  }
  Settle(now.steady);
}

void Roster::Settle(SteadyTime now) {
  if (settled_ || now - started_ < options_.settle || !LeasesKnown(now)) return;
  for (const std::string& gateway : leases_) {
    if (!announced_.contains(gateway)) return;
  }
  for (const auto& [id, link] : links_) {
    if (!link.announced && !link.broken_at) return;
  }
  settled_ = true;
  announced_.clear();
}

bool Roster::GatewayLinked(const std::string& gateway) const {
  return std::any_of(links_.begin(), links_.end(), [&](const auto& entry) {
    return entry.second.gateway == gateway && !entry.second.broken_at;
  });
}

void Roster::EraseIfEmpty(LinkId id) {
  const auto found = links_.find(id);
  if (found != links_.end() && found->second.broken_at && found->second.sessions.empty()) {
    links_.erase(found);
  }
}

bool Roster::Held(SessionKey key, const Session& session) const {
  return session.returning_until || links_.at(key.link).broken_at;
}

bool Roster::Connected(UserId user) const {
  const auto found = people_.find(user);
  return found != people_.end() && !found->second.sessions.empty();
}

Status Roster::StatusOf(UserId user) const {
  const auto found = people_.find(user);
  Status status = Status::kOffline;
  if (found == people_.end()) return status;
  // A handful of sessions each, so that comparing all pairs is the cheapest.
  for (const SessionKey key : found->second.sessions) {
    const Session& session = sessions_.at(key);
    const bool newest = std::none_of(
        found->second.sessions.begin(), found->second.sessions.end(), [&](SessionKey other_key) {
          const Session& other = sessions_.at(other_key);
          return other.device == session.device && other.order > session.order;
        });
    if (newest) status = std::max(status, session.status);
  }
  return Shown(status);
}

bool Roster::Primary(UserId user) const {
  const auto found = people_.find(user);
  return found != people_.end() && found->second.primary;
}

WallTime Roster::SeenAt(UserId user) const {
  const auto found = people_.find(user);
  return found == people_.end() ? WallTime() : found->second.seen_at;
}

bool Roster::Live(SessionKey key) const {
  const auto found = sessions_.find(key);
  return found != sessions_.end() && !Held(key, found->second);
}

std::optional<UserId> Roster::FindUser(SessionKey key) const {
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return std::nullopt;
  return found->second.user;
}

void Roster::SetPictured(SessionKey key) { sessions_.at(key).pictured = true; }

bool Roster::HasPicture(SessionKey key) const { return sessions_.at(key).pictured; }

bool Roster::Pictured(UserId user) const {
  const auto found = people_.find(user);
  if (found == people_.end()) return false;
  return std::any_of(found->second.sessions.begin(), found->second.sessions.end(),
                     [&](SessionKey key) {
                       const Session& session = sessions_.at(key);
                       return session.pictured && !Held(key, session);
                     });
}

bool Roster::WantsPicture(SessionKey key) const { return sessions_.at(key).wants_picture; }

void Roster::Changed(UserId user) { changed_.insert(user); }

std::vector<UserId> Roster::TakeChanged() {
  std::vector<UserId> changed(changed_.begin(), changed_.end());
  changed_.clear();
  return changed;
}

void Roster::Forget(UserId user) {
  const auto found = people_.find(user);
  if (found != people_.end() && found->second.sessions.empty()) people_.erase(found);
}

std::vector<std::pair<UserId, WallTime>> Roster::TakeUnsaved(size_t limit) {
  std::vector<std::pair<UserId, WallTime>> taken;
  for (const auto& entry : unsaved_) {
    if (taken.size() == limit) break;
    taken.emplace_back(entry);
  }
  for (const auto& [user, at] : taken) {
    saving_.emplace(user, at);
    unsaved_.erase(user);
  }
  return taken;
}

void Roster::SeeAll(WallTime now) {
  for (const auto& [key, session] : sessions_) {
    Seen(session, Held(key, session) ? session.gone_at : now);
  }
}

void Roster::Saved(bool stored) {
  if (!stored) {
    for (const auto& [user, at] : saving_) {
      WallTime& unsaved = unsaved_[user];
      unsaved = std::max(unsaved, at);
    }
  }
  saving_.clear();
}

std::optional<WallTime> Roster::FindUnsaved(UserId user) const {
  if (const auto found = unsaved_.find(user); found != unsaved_.end()) return found->second;
  if (const auto found = saving_.find(user); found != saving_.end()) return found->second;
  return std::nullopt;
}

std::vector<std::string> Roster::LinkedGateways() const {
  std::vector<std::string> gateways;
  for (const auto& [id, link] : links_) {
    if (!link.broken_at) gateways.push_back(link.gateway);
  }
  return gateways;
}

std::vector<std::string> Roster::TakeReleased() {
  std::vector<std::string> released;
  for (std::string& gateway : released_) {
    // It may be back.
    if (!GatewayLinked(gateway)) released.push_back(std::move(gateway));
  }
  released_.clear();
  return released;
}

}  // namespace im::presence
