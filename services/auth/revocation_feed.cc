#include "services/auth/revocation_feed.h"

#include "common/base/error.h"
#include "common/base/metrics.h"

namespace im::auth {
namespace {

// A statement ends after 30 s (common/pg), so its time is no older when it can be seen.
constexpr std::chrono::seconds kOverlap{60};

prometheus::Gauge& WatchersGauge() {
  static auto& gauge =
      GaugeFamily("im_auth_revocation_watchers", "Streams of WatchRevocations.").Add({});
  return gauge;
}

}  // namespace

RevocationFeed::RevocationFeed(PgDevices* store, token::Verifier* verifier,
                               std::chrono::seconds window)
    : store_(store), verifier_(verifier), window_(window) {}

absl::Status RevocationFeed::Poll() {
  std::optional<Time> since;
  {
    MutexLock lock(&mu_);
    if (polled_at_) since = *polled_at_ - kOverlap;
  }
  IM_ASSIGN_OR_RETURN(const Revocations found, store_->RevocationsSince(since, window_ + kOverlap));
  MutexLock lock(&mu_);
  const bool first = !polled_at_.has_value();
  polled_at_ = found.now;
  Forget(found.now);
  const std::vector<Revocation> news = Learn(found.revocations);
  if (first) {
    Tell(Snapshot());
  } else if (!news.empty()) {
    Tell({.revocations = news});
  }
  return absl::OkStatus();
}

void RevocationFeed::Announce(const std::vector<int64_t>& device_ids) {
  if (device_ids.empty()) return;
  std::vector<Revocation> revocations;
  for (const int64_t id : device_ids) revocations.push_back({id, std::chrono::system_clock::now()});
  MutexLock lock(&mu_);
  const std::vector<Revocation> news = Learn(revocations);
  // Before the first poll no watcher had its snapshot, which must be the first.
  if (polled_at_ && !news.empty()) Tell({.revocations = news});
}

uint64_t RevocationFeed::Watch(Watcher watcher) {
  MutexLock lock(&mu_);
  if (closing_) {
    watcher({.closing = true});
  } else if (polled_at_) {
    watcher(Snapshot());
  }
  watchers_[++last_id_] = std::move(watcher);
  WatchersGauge().Increment();
  return last_id_;
}

void RevocationFeed::Unwatch(uint64_t id) {
  MutexLock lock(&mu_);
  if (watchers_.erase(id) > 0) WatchersGauge().Decrement();
}

void RevocationFeed::Close() {
  MutexLock lock(&mu_);
  closing_ = true;
  Tell({.closing = true});
}

std::vector<Revocation> RevocationFeed::Learn(const std::vector<Revocation>& revocations) {
  std::vector<Revocation> news;
  for (const Revocation& revocation : revocations) {
    if (!known_.emplace(revocation.device_id, revocation.at).second) continue;
    verifier_->Revoke(revocation.device_id, revocation.at);
    news.push_back(revocation);
  }
  return news;
}

void RevocationFeed::Tell(const RevocationNews& news) {
  for (const auto& [id, watcher] : watchers_) watcher(news);
}

RevocationNews RevocationFeed::Snapshot() const {
  RevocationNews news{.snapshot = true};
  news.revocations.reserve(known_.size());
  for (const auto& [device_id, at] : known_) news.revocations.push_back({device_id, at});
  return news;
}

void RevocationFeed::Forget(Time now) {
  for (auto entry = known_.begin(); entry != known_.end();) {
    // Twice the overlap: what a poll can still find must be known.
    const bool old = entry->second < now - window_ - 2 * kOverlap;
    entry = old ? known_.erase(entry) : std::next(entry);
  }
}

}  // namespace im::auth
