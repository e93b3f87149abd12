#include "services/presence/presence_server.h"

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "services/presence/wire.h"

namespace im::presence {
namespace {

using std::chrono::steady_clock;

// Times stored by one statement.
constexpr size_t kBatch = 5000;
// Of the workers that handle calls (main.cc has 8), how many may wait for something to be known.
constexpr int kMostLooking = 4;
// im.gateway.v1.ConnectRequest.set_status.
constexpr int kSetStatusFrame = 20;

Moment Now() { return {steady_clock::now(), std::chrono::system_clock::now()}; }

struct Metrics {
  prometheus::Gauge& sessions =
      GaugeFamily("im_presence_sessions", "Connected devices that are known.").Add({});
  prometheus::Gauge& users =
      GaugeFamily("im_presence_users", "People with a connected device.").Add({});
  prometheus::Gauge& settled =
      GaugeFamily("im_presence_settled", "1: who is not known to be here is told as offline.")
          .Add({});
  prometheus::Counter& published =
      CounterFamily("im_presence_changes_total", "Changes of presence, told or not.")
          .Add({{"outcome", "published"}});
  prometheus::Counter& coalesced =
      CounterFamily("im_presence_changes_total", "Changes of presence, told or not.")
          .Add({{"outcome", "coalesced"}});
  prometheus::Gauge& feeds_up =
      GaugeFamily("im_presence_feeds_up", "im-chat instances that tell of relations.").Add({});
};
Metrics& GetMetrics() {
  static Metrics metrics;
  return metrics;
}

BookOptions WithFeeds(BookOptions options, size_t feeds) {
  options.feeds = feeds;
  return options;
}

}  // namespace

PresenceServer::PresenceServer(const PresenceServerOptions& options, pg::Pool* pool)
    : options_(options),
      leases_(pool),
      last_seen_(pool),
      book_(WithFeeds(options.book, options.chat.size()), steady_clock::now()) {}

PresenceServer::~PresenceServer() { Stop(); }

void PresenceServer::Start(bus::LinkServer* links) {
  links_ = links;
  MutexLock lock(&mu_);
  for (size_t i = 0; i < options_.chat.size(); ++i) {
    RelationFeed::Handlers handlers;
    handlers.on_pictures = [this, i](std::vector<RelationFeed::Picture> pictures) {
      MutexLock feed_lock(&mu_);
      for (auto& [user, visible] : pictures) book_.SetVisible(i, user, std::move(visible));
      Flush();
      changed_.NotifyAll();
    };
    handlers.on_broken = [this, i] {
      MutexLock feed_lock(&mu_);
      book_.FeedBroke(i);
    };
    feeds_.push_back(std::make_unique<RelationFeed>(options_.chat[i], std::move(handlers)));
  }
  ticker_ = std::make_unique<Ticker>(options_.tick, [this] { Tick(); });
  database_ = std::make_unique<Ticker>(options_.database_round, [this] { DatabaseRound(); });
}

void PresenceServer::Stop() {
  if (ticker_ == nullptr) return;
  ticker_.reset();
  database_.reset();
  std::vector<std::unique_ptr<RelationFeed>> feeds;
  {
    MutexLock lock(&mu_);
    feeds.swap(feeds_);
  }
  feeds.clear();
  {
    MutexLock lock(&mu_);
    book_.roster().SeeAll(std::chrono::system_clock::now());
  }
  const absl::Status stored = StoreLastSeen();
  if (!stored.ok()) {
    Log(LogLevel::kWarning, "last_seen_not_stored", {{"what", Describe(stored)}});
  }
}

void PresenceServer::Tick() {
  Metrics& metrics = GetMetrics();
  MutexLock lock(&mu_);
  int up = 0;
  for (const auto& feed : feeds_) up += feed->up() ? 1 : 0;
  metrics.feeds_up.Set(up);
  const BookCounters before = book_.counters();
  book_.Tick(Now());
  Flush();
  metrics.sessions.Set(static_cast<double>(book_.roster().sessions()));
  metrics.users.Set(static_cast<double>(book_.roster().users_connected()));
  metrics.settled.Set(book_.roster().settled() ? 1 : 0);
  metrics.published.Increment(static_cast<double>(book_.counters().published - before.published));
  metrics.coalesced.Increment(static_cast<double>(book_.counters().coalesced - before.coalesced));
  changed_.NotifyAll();
}

void PresenceServer::Flush() {
  const Outbox outbox = book_.TakeOutbox();
  for (const Change& change : outbox.changes) {
    internal::v1::Publication publication;
    publication.set_event(ToEvent(change));
    publication.set_replace_key(absl::StrCat("presence/", change.user));
    publication.set_fleeting(true);
    links_->Publish(change.audience, publication);
  }
  for (const Portrait& portrait : outbox.portraits) {
    const auto link = links_up_.find(portrait.session.link);
    if (link == links_up_.end()) continue;
    internal::v1::ServiceItem item;
    item.mutable_delivery()->set_session(portrait.session.number);
    item.mutable_delivery()->set_event(ToEvent(portrait));
    link->second->Send(std::move(item));
  }
  const WatchOrders orders = book_.TakeWatchOrders();
  for (size_t i = 0; i < feeds_.size(); ++i) {
    for (const UserId user : orders.remove) feeds_[i]->Remove(user);
    for (const UserId user : orders.add) feeds_[i]->Add(user);
    for (const auto& [feed, user] : orders.refresh) {
      if (feed == i) feeds_[i]->Refresh(user);
    }
  }
}

void PresenceServer::DatabaseRound() {
  std::vector<std::string> linked;
  std::vector<std::string> released;
  {
    MutexLock lock(&mu_);
    linked = book_.roster().LinkedGateways();
    released = book_.roster().TakeReleased();
  }
  const auto asked_at = steady_clock::now();
  absl::Status status = leases_.Renew(linked, options_.lease_life);
  if (status.ok()) status = leases_.Delete(released);
  if (status.ok()) {
    const absl::StatusOr<std::vector<std::string>> live = leases_.ListLive();
    status = live.status();
    if (live.ok()) {
      MutexLock lock(&mu_);
      book_.roster().SetLeases({live->begin(), live->end()}, asked_at);
    }
  }
  if (status.ok()) status = StoreLastSeen();
  if (status.ok()) {
    database_answered_.store(steady_clock::now().time_since_epoch());
  } else {
    Log(LogLevel::kWarning, "presence_database_round_failed", {{"what", Describe(status)}});
  }
}

absl::Status PresenceServer::StoreLastSeen() {
  while (true) {
    std::vector<std::pair<UserId, WallTime>> seen;
    {
      MutexLock lock(&mu_);
      seen = book_.roster().TakeUnsaved(kBatch);
    }
    if (seen.empty()) return absl::OkStatus();
    const absl::Status status = last_seen_.Save(seen);
    {
      MutexLock lock(&mu_);
      book_.roster().Saved(status.ok());
    }
    IM_RETURN_IF_ERROR(status);
  }
}

bool PresenceServer::Healthy() const {
  const steady_clock::time_point answered(database_answered_.load());
  return steady_clock::now() - answered < options_.database_round * 3;
}

absl::Status PresenceServer::SetStatus(UserId user, DeviceId device, Status status) {
  MutexLock lock(&mu_);
  const std::vector<SessionKey> set = book_.roster().SetDeviceStatus(user, device, status, Now());
  if (set.empty()) return Error(Reason::NOT_CONNECTED);
  // Their gateways open them with it when this process, or another instance, comes back.
  for (const SessionKey key : set) {
    const auto link = links_up_.find(key.link);
    if (link == links_up_.end()) continue;
    internal::v1::ServiceItem item;
    item.mutable_status_set()->set_session(key.number);
    item.mutable_status_set()->set_status(ToRequest(status));
    link->second->Send(std::move(item));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PresenceServer::Answer>> PresenceServer::See(
    UserId viewer, const std::vector<UserId>& subjects) {
  IM_ASSIGN_OR_RETURN(const std::vector<PresenceBook::Seen> seen, Look(viewer, subjects));
  std::vector<UserId> offline;
  for (size_t i = 0; i < subjects.size(); ++i) {
    if (seen[i].may_see && seen[i].status == Status::kOffline) offline.push_back(subjects[i]);
  }
  absl::flat_hash_map<UserId, WallTime> stored;
  if (!offline.empty()) {
    IM_ASSIGN_OR_RETURN(stored, last_seen_.Find(offline));
  }
  std::vector<Answer> answers(subjects.size());
  for (size_t i = 0; i < subjects.size(); ++i) {
    if (!seen[i].may_see) continue;
    answers[i].status = seen[i].status;
    if (seen[i].status != Status::kOffline) continue;
    if (const auto found = stored.find(subjects[i]); found != stored.end()) {
      answers[i].last_seen = found->second;
    }
    if (seen[i].last_seen) answers[i].last_seen = std::max(answers[i].last_seen, seen[i].last_seen);
  }
  return answers;
}

absl::StatusOr<std::vector<PresenceBook::Seen>> PresenceServer::Look(
    UserId viewer, const std::vector<UserId>& subjects) {
  const auto deadline = steady_clock::now() + options_.patience;
  const absl::Status unknown =
      Error(Reason::SERVICE_UNAVAILABLE, "presence is not known yet; try again",
            {.retry_after = std::chrono::milliseconds(1000)});
  MutexLock lock(&mu_);
  book_.Watch(viewer, Now());
  Flush();
  bool waiting = false;
  while (true) {
    std::optional<std::vector<PresenceBook::Seen>> seen =
        book_.See(viewer, subjects, steady_clock::now());
    const bool over = !seen && !waiting && looking_.load() >= kMostLooking;
    if (!seen && !over && !waiting) {
      ++looking_;
      waiting = true;
    }
    if (seen || over || !changed_.WaitUntil(&mu_, deadline)) {
      if (waiting) --looking_;
      if (seen) return *std::move(seen);
      return unknown;
    }
  }
}

void PresenceServer::OnLinkUp(const std::shared_ptr<bus::Link>& link) {
  MutexLock lock(&mu_);
  const LinkId id = ++next_link_;
  link_ids_[link.get()] = id;
  links_up_[id] = link;
  book_.roster().LinkUp(id, link->gateway_id(), Now());
  if (database_ != nullptr) database_->Wake();
}

void PresenceServer::OnLinkDown(const std::shared_ptr<bus::Link>& link) {
  MutexLock lock(&mu_);
  const auto found = link_ids_.find(link.get());
  book_.roster().LinkDown(found->second, Now());
  links_up_.erase(found->second);
  link_ids_.erase(found);
}

SessionKey PresenceServer::KeyOf(const bus::Link* link, uint64_t session) const {
  return {link_ids_.at(link), session};
}

void PresenceServer::OnSessionOpened(const std::shared_ptr<bus::Link>& link,
                                     const bus::Session& session) {
  MutexLock lock(&mu_);
  book_.Open(KeyOf(link.get(), session.number), session.identity.user_id,
             session.identity.device_id, ConnectionStatus(session.status), session.primary, Now());
  Flush();
}

void PresenceServer::OnSessionClosed(const std::shared_ptr<bus::Link>& link,
                                     const bus::Session& session, bool returning) {
  MutexLock lock(&mu_);
  book_.roster().Close(KeyOf(link.get(), session.number), returning, Now());
}

void PresenceServer::OnCall(const std::shared_ptr<bus::Link>& link, const bus::Session& session,
                            internal::v1::SessionCall call) {
  if (call.frame() != kSetStatusFrame) {
    return link->Answer(session, call, Error(Reason::UNKNOWN_METHOD));
  }
  // Answered under the lock: the gateway takes the last word on a status as the one that holds.
  MutexLock lock(&mu_);
  link->Answer(session, call, SetSessionStatus(KeyOf(link.get(), session.number), call.request()));
}

absl::StatusOr<std::string> PresenceServer::SetSessionStatus(SessionKey key,
                                                             const std::string& request) {
  v1::SetStatusRequest parsed;
  if (!parsed.ParseFromString(request)) {
    return Error(Reason::MALFORMED_REQUEST, "not an im.presence.v1.SetStatusRequest");
  }
  IM_ASSIGN_OR_RETURN(const Status status, ParseStatus(parsed.status()));
  if (!book_.roster().SetStatus(key, status, Now())) return Error(Reason::NOT_CONNECTED);
  return v1::SetStatusResponse().SerializeAsString();
}

void PresenceServer::OnAnnounced(const std::shared_ptr<bus::Link>& link) {
  MutexLock lock(&mu_);
  book_.roster().Announced(link_ids_.at(link.get()), Now());
}

}  // namespace im::presence
