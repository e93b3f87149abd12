#include "services/chat/relation_service.h"

#include <deque>

#include "absl/container/flat_hash_set.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/rpc/status.h"
#include "services/chat/contacts.h"

namespace im::chat {
namespace {

using internal::v1::WatchRelationsRequest;
using internal::v1::WatchRelationsResponse;
using std::chrono::steady_clock;

constexpr int kReaders = 2;
// One read a watcher at a time, so this is a number of watchers.
constexpr size_t kReadersQueue = 1024;
// Users of a snapshot that are read at once: a change waits behind one such read at most.
constexpr size_t kSnapshotUsers = 100;
// A frame larger than this would hold up those behind it.
constexpr size_t kMaxFrameBytes = 1 << 20;

prometheus::Gauge& WatchersGauge() {
  static auto& gauge =
      GaugeFamily("im_relation_watchers", "Streams of those who watch relations.").Add({});
  return gauge;
}
prometheus::Counter& CutsCounter() {
  static auto& counter = CounterFamily("im_relation_watchers_cut_total",
                                       "Watchers whose stream was cut since they lagged.")
                             .Add({});
  return counter;
}

class RefusedWatcher
    : public grpc::ServerBidiReactor<WatchRelationsRequest, WatchRelationsResponse> {
 public:
  explicit RefusedWatcher(const absl::Status& status) { Finish(rpc::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

// One stream. Kept by itself until it is done. All ways out go through FinishLocked.
class RelationService::Watcher
    : public grpc::ServerBidiReactor<WatchRelationsRequest, WatchRelationsResponse>,
      public std::enable_shared_from_this<Watcher> {
 public:
  Watcher(RelationService* service, grpc::CallbackServerContext* context)
      : service_(service), context_(context) {}

  void Begin() {
    self_ = shared_from_this();
    StartRead(&in_);
  }

  // The mark that will be reached when the pictures of these users are in force; 0: none of them is
  // watched, or the stream has ended.
  uint64_t Mark(const std::vector<int64_t>& users) {
    MutexLock lock(&mu_);
    bool any = false;
    for (const int64_t user : users) {
      if (watched_.contains(user)) {
        changed_.insert(user);
        any = true;
      }
    }
    if (!any || finishing_) return 0;
    ++mark_;
    PumpLocked();
    return mark_;
  }

  // False if the deadline passed. A stream that ended needs nothing more.
  bool WaitReached(uint64_t mark, steady_clock::time_point deadline) {
    MutexLock lock(&mu_);
    while (reached_ < mark && !finishing_) {
      if (!moved_.WaitUntil(&mu_, deadline) && steady_clock::now() >= deadline) {
        return reached_ >= mark || finishing_;
      }
    }
    return true;
  }

  bool Watches(const std::vector<int64_t>& users) {
    MutexLock lock(&mu_);
    for (const int64_t user : users) {
      if (watched_.contains(user)) return true;
    }
    return false;
  }

  void Cut(const absl::Status& status) {
    MutexLock lock(&mu_);
    if (finishing_) return;
    // The write may be held up by the other side; this completes it.
    if (writing_) context_->TryCancel();
    FinishLocked(status);
  }

  void OnReadDone(bool ok) override {
    MutexLock lock(&mu_);
    if (!ok) return FinishLocked(absl::OkStatus());
    for (const int64_t user : in_.remove_user_ids()) {
      watched_.erase(user);
      changed_.erase(user);
      asked_.erase(user);
    }
    for (const int64_t user : in_.add_user_ids()) {
      watched_.insert(user);
      asked_.insert(user);
    }
    while (!sent_.empty() && sent_.front().first <= in_.acknowledged()) {
      reached_ = sent_.front().second;
      sent_.pop_front();
    }
    moved_.NotifyAll();
    PumpLocked();
    in_.Clear();
    StartRead(&in_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mu_);
    writing_ = false;
    if (finishing_) return Finish(rpc::ToGrpc(ending_));
    if (!ok) return FinishLocked(absl::OkStatus());
    PumpLocked();
  }

  void OnCancel() override {
    MutexLock lock(&mu_);
    FinishLocked(Error(Reason::CANCELLED));
  }

  void OnDone() override {
    const std::shared_ptr<Watcher> self = std::move(self_);
    service_->Remove(self);
  }

 private:
  // Writes what is ready, else has the next pictures read.
  void PumpLocked() IM_REQUIRES(mu_) {
    if (finishing_ || writing_ || reading_) return;
    if (!ready_.empty()) {
      out_ = std::move(ready_.front());
      ready_.pop_front();
      writing_ = true;
      StartWrite(&out_);
      return;
    }
    if (changed_.empty() && asked_.empty() && taken_mark_ == mark_) return;
    reading_ = true;
    if (!service_->readers_.TrySubmit([self = shared_from_this()] { self->ReadPictures(); })) {
      reading_ = false;
      FinishLocked(Error(Reason::OVERLOADED));
    }
  }

  void ReadPictures() {
    std::vector<int64_t> users;
    uint64_t mark = 0;
    {
      MutexLock lock(&mu_);
      users.assign(changed_.begin(), changed_.end());
      for (const int64_t user : users) asked_.erase(user);
      changed_.clear();
      mark = taken_mark_ = mark_;
      for (size_t i = 0; i < kSnapshotUsers && !asked_.empty(); ++i) {
        users.push_back(*asked_.begin());
        asked_.erase(asked_.begin());
      }
    }
    const absl::StatusOr<std::vector<Visible>> pictures = service_->store_->ListVisible(users);
    MutexLock lock(&mu_);
    reading_ = false;
    if (!pictures.ok()) {
      Log(LogLevel::kWarning, "relations_not_read", {{"what", Describe(pictures.status())}});
      return FinishLocked(pictures.status());
    }
    size_t bytes = 0;
    for (const Visible& picture : *pictures) {
      if (ready_.empty() || bytes > kMaxFrameBytes) {
        ready_.emplace_back().set_number(++number_);
        bytes = 0;
      }
      internal::v1::Relations* relations = ready_.back().add_relations();
      relations->set_user_id(picture.user_id);
      relations->mutable_visible_user_ids()->Add(picture.others.begin(), picture.others.end());
      bytes += relations->ByteSizeLong();
    }
    // Nobody is left to be told of: what was to be acknowledged has come down to what was sent.
    if (pictures->empty()) ready_.emplace_back().set_number(++number_);
    if (mark > (sent_.empty() ? reached_ : sent_.back().second)) sent_.emplace_back(number_, mark);
    PumpLocked();
  }

  // Finish comes once, and never while a write is outstanding.
  void FinishLocked(const absl::Status& status) IM_REQUIRES(mu_) {
    if (finishing_) return;
    finishing_ = true;
    ending_ = status;
    moved_.NotifyAll();
    if (!writing_) Finish(rpc::ToGrpc(ending_));
  }

  RelationService* const service_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<Watcher> self_;  // until OnDone
  WatchRelationsRequest in_;

  Mutex mu_;
  CondVar moved_;  // reached_ or finishing_ changed
  absl::flat_hash_set<int64_t> watched_ IM_GUARDED_BY(mu_);
  // Users to tell of: those that changed go first, those that were just added may be many.
  std::set<int64_t> changed_ IM_GUARDED_BY(mu_);
  std::set<int64_t> asked_ IM_GUARDED_BY(mu_);
  // Changes are counted. Up to which they were noted, taken to be read, and acknowledged.
  uint64_t mark_ IM_GUARDED_BY(mu_) = 0;
  uint64_t taken_mark_ IM_GUARDED_BY(mu_) = 0;
  uint64_t reached_ IM_GUARDED_BY(mu_) = 0;
  // Of answers that complete a mark and are not acknowledged: number and mark.
  std::deque<std::pair<uint64_t, uint64_t>> sent_ IM_GUARDED_BY(mu_);
  uint64_t number_ IM_GUARDED_BY(mu_) = 0;
  std::deque<WatchRelationsResponse> ready_ IM_GUARDED_BY(mu_);
  WatchRelationsResponse out_;  // while writing_
  bool reading_ IM_GUARDED_BY(mu_) = false;
  bool writing_ IM_GUARDED_BY(mu_) = false;
  bool finishing_ IM_GUARDED_BY(mu_) = false;
  absl::Status ending_ IM_GUARDED_BY(mu_);
};

RelationService::RelationService(ContactStore* store)
    : store_(store), readers_(kReaders, kReadersQueue) {}

RelationService::~RelationService() = default;

grpc::ServerBidiReactor<WatchRelationsRequest, WatchRelationsResponse>*
RelationService::WatchRelations(grpc::CallbackServerContext* context) {
  auto watcher = std::make_shared<Watcher>(this, context);
  {
    MutexLock lock(&mu_);
    if (closing_) return new RefusedWatcher(Error(Reason::SHUTTING_DOWN));
    watchers_.insert(watcher);
    WatchersGauge().Set(static_cast<double>(watchers_.size()));
  }
  watcher->Begin();
  return watcher.get();
}

RelationService::Ticket RelationService::Changed(const std::vector<int64_t>& users) {
  Ticket ticket;
  for (const std::shared_ptr<Watcher>& watcher : Watchers()) {
    const uint64_t mark = watcher->Mark(users);
    if (mark != 0) ticket.emplace_back(watcher, mark);
  }
  return ticket;
}

void RelationService::WaitInForce(const Ticket& ticket, std::chrono::milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  for (const auto& [watcher, mark] : ticket) {
    if (watcher->WaitReached(mark, deadline)) continue;
    Log(LogLevel::kWarning, "relation_watcher_cut");
    CutsCounter().Increment();
    watcher->Cut(Error(Reason::DEADLINE_EXCEEDED, "a change was not acknowledged in time"));
  }
}

void RelationService::CutWatchers(const std::vector<int64_t>& users) {
  for (const std::shared_ptr<Watcher>& watcher : Watchers()) {
    if (watcher->Watches(users)) {
      watcher->Cut(Error(Reason::OUTCOME_UNKNOWN, "a change may have been missed"));
    }
  }
}

void RelationService::Shutdown() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
  }
  for (const std::shared_ptr<Watcher>& watcher : Watchers()) {
    watcher->Cut(Error(Reason::SHUTTING_DOWN));
  }
}

std::vector<std::shared_ptr<RelationService::Watcher>> RelationService::Watchers() const {
  MutexLock lock(&mu_);
  return {watchers_.begin(), watchers_.end()};
}

void RelationService::Remove(const std::shared_ptr<Watcher>& watcher) {
  MutexLock lock(&mu_);
  watchers_.erase(watcher);
  WatchersGauge().Set(static_cast<double>(watchers_.size()));
}

}  // namespace im::chat
