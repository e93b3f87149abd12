#include "services/presence/book.h"

#include <algorithm>

namespace im::presence {

PresenceBook::PresenceBook(const BookOptions& options, SteadyTime started)
    : options_(options),
      started_(started),
      roster_(options.roster, started),
      sight_(options.feeds) {}

void PresenceBook::Open(SessionKey key, UserId user, DeviceId device, Status status, bool primary,
                        Moment now) {
  if (!roster_.Open(key, user, device, status, primary, now)) return;
  idle_.erase(user);
  told_.try_emplace(user);
  Hold(user);
  Gained(user, sight_.Enter(user));
  if (roster_.WantsPicture(key)) waiting_.insert(key);
}

void PresenceBook::Hold(UserId user) {
  if (sight_.Hold(user)) orders_.add.push_back(user);
}

void PresenceBook::SetVisible(size_t feed, UserId user, std::vector<UserId> visible) {
  const Sight::Effect effect = sight_.Apply(feed, user, std::move(visible));
  for (const UserId other : effect.lost) {
    Withdraw(user, other);
    Withdraw(other, user);
  }
  Gained(user, effect.gained);
  for (const size_t other : effect.refresh) orders_.refresh.emplace_back(other, user);
}

void PresenceBook::Gained(UserId user, const std::vector<UserId>& others) {
  for (const UserId other : others) {
    Tell(user, other);
    Tell(other, user);
  }
}

void PresenceBook::Tell(UserId subject, UserId viewer) {
  // What changed since goes to all with the next tick, and a session that waits for its picture
  // finds everything in it.
  const auto told = told_.find(subject);
  if (told == told_.end() || told->second.status == Status::kOffline) return;
  if (!roster_.Primary(subject) || !roster_.Pictured(viewer)) return;
  outbox_.changes.push_back({subject, told->second.status, std::nullopt, {viewer}});
}

void PresenceBook::Withdraw(UserId subject, UserId viewer) {
  const auto told = told_.find(subject);
  if (told == told_.end() || !roster_.Primary(subject) || !roster_.Pictured(viewer)) return;
  if (told->second.status == Status::kOffline && !told->second.forced) return;
  outbox_.changes.push_back({subject, Status::kOffline, std::nullopt, {viewer}});
}

bool PresenceBook::Trusted(SteadyTime now) const {
  return trusted_ && now - *last_tick_ <= options_.stall;
}

void PresenceBook::Tick(Moment now) {
  trusted_ = !last_tick_ || now.steady - *last_tick_ <= options_.stall;
  last_tick_ = now.steady;
  roster_.Expire(now);
  for (const UserId user : roster_.TakeChanged()) dirty_.insert(user);
  if (trusted_) {
    absl::erase_if(dirty_, [&](UserId user) {
      if (!Publish(user)) return false;
      if (!roster_.Connected(user)) LetGo(user, now.steady);
      return true;
    });
    absl::erase_if(waiting_, [&](SessionKey key) { return SendPortrait(key, now.steady); });
  }
  DropIdle(now.steady);
}

bool PresenceBook::Publish(UserId user) {
  Told& told = told_[user];
  const Status status = roster_.StatusOf(user);
  if (status == told.status && !told.forced) {
    ++counters_.coalesced;
    return true;
  }
  if (!sight_.Fresh(user)) return false;
  if (status == Status::kOffline && !roster_.settled()) return false;
  told = {status, false};
  if (!roster_.Primary(user)) return true;
  Change change{user, status, std::nullopt, {}};
  if (status == Status::kOffline) change.last_seen = roster_.SeenAt(user);
  for (const UserId peer : sight_.Peers(user)) {
    if (roster_.Pictured(peer)) change.audience.push_back(peer);
  }
  ++counters_.published;
  if (!change.audience.empty()) outbox_.changes.push_back(std::move(change));
  return true;
}

bool PresenceBook::SendPortrait(SessionKey key, SteadyTime now) {
  if (!roster_.Live(key)) return true;
  const UserId user = *roster_.FindUser(key);
  if (!sight_.Fresh(user)) return false;
  const bool complete = roster_.settled();
  if (!complete) {
    if (now - started_ < options_.partial_after || roster_.HasPicture(key)) return false;
  }
  Portrait portrait{key, complete, {}};
  for (const UserId peer : sight_.Peers(user)) {
    const Status status = roster_.StatusOf(peer);
    Told& told = told_[peer];
    if (status != told.status) {
      // The change is still to be told to the others; should it be taken back before that, this
      // session has to hear of it all the same.
      told.forced = true;
      dirty_.insert(peer);
    }
    if (status != Status::kOffline) portrait.present.emplace_back(peer, status);
  }
  std::sort(portrait.present.begin(), portrait.present.end());
  roster_.SetPictured(key);
  outbox_.portraits.push_back(std::move(portrait));
  return complete;
}

void PresenceBook::LetGo(UserId user, SteadyTime now) {
  sight_.Leave(user);
  roster_.Forget(user);
  told_.erase(user);
  KeepIdle(user, now + options_.linger);
}

void PresenceBook::KeepIdle(UserId user, SteadyTime until) {
  SteadyTime& kept = idle_[user];
  kept = std::max(kept, until);
}

void PresenceBook::DropIdle(SteadyTime now) {
  absl::erase_if(idle_, [&](const auto& entry) {
    if (entry.second > now) return false;
    sight_.Drop(entry.first);
    orders_.remove.push_back(entry.first);
    return true;
  });
}

void PresenceBook::Watch(UserId user, Moment now) {
  Hold(user);
  // Those who are here, or of whose leaving has to be told yet, are held anyway.
  if (!told_.contains(user)) KeepIdle(user, now.steady + options_.linger);
}

std::optional<std::vector<PresenceBook::Seen>> PresenceBook::See(
    UserId viewer, const std::vector<UserId>& subjects, SteadyTime now) const {
  if (!Trusted(now) || !roster_.settled() || !sight_.Fresh(viewer)) return std::nullopt;
  std::vector<Seen> seen;
  seen.reserve(subjects.size());
  for (const UserId subject : subjects) {
    Seen one;
    one.may_see = subject == viewer || sight_.MaySee(viewer, subject);
    if (one.may_see) {
      one.status = roster_.StatusOf(subject);
      one.last_seen = roster_.FindUnsaved(subject);
    }
    seen.push_back(one);
  }
  return seen;
}

Outbox PresenceBook::TakeOutbox() { return std::exchange(outbox_, {}); }

WatchOrders PresenceBook::TakeWatchOrders() { return std::exchange(orders_, {}); }

}  // namespace im::presence
