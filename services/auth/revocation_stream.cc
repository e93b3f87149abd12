// DirectoryService.WatchRevocations: one stream per process that watches.
#include <google/protobuf/util/time_util.h>

#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/rpc/status.h"
#include "services/auth/services.h"

namespace im::auth {
namespace {

using google::protobuf::util::TimeUtil;
using internal::v1::WatchRevocationsResponse;

// Of one message: 20 bytes each, so below the 1 MB of our frames. What a watcher that does not read
// may let pile up is ten times that; then it must come again, and gets a snapshot.
constexpr size_t kMostInOne = 20000;
constexpr size_t kMostWaiting = 200000;

// One write in flight, what comes meanwhile waits and goes as one. Deletes itself in OnDone.
class RevocationStream : public grpc::ServerWriteReactor<WatchRevocationsResponse> {
 public:
  explicit RevocationStream(RevocationFeed* feed) : feed_(feed) {
    watch_ = feed->Watch([this](const RevocationNews& news) { OnNews(news); });
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mu_);
    writing_ = false;
    if (!ok && !end_) end_ = Error(Reason::CANCELLED);
    Continue();
  }

  void OnCancel() override { End(Error(Reason::CANCELLED)); }

  void OnDone() override {
    feed_->Unwatch(watch_);
    delete this;
  }

 private:
  void OnNews(const RevocationNews& news) {
    if (news.closing) return End(Error(Reason::SHUTTING_DOWN));
    MutexLock lock(&mu_);
    waiting_.insert(waiting_.end(), news.revocations.begin(), news.revocations.end());
    snapshot_ = snapshot_ || news.snapshot;
    if (waiting_.size() > kMostWaiting && !news.snapshot && !end_) end_ = Error(Reason::OVERLOADED);
    Continue();
  }

  void End(const absl::Status& status) {
    MutexLock lock(&mu_);
    if (!end_) end_ = status;
    Continue();
  }

  // Every way on and out.
  void Continue() IM_REQUIRES(mu_) {
    if (writing_ || finished_) return;
    if (end_) {
      finished_ = true;
      return Finish(rpc::ToGrpc(*end_));
    }
    if (waiting_.empty() && !snapshot_) return;
    response_.Clear();
    const size_t count = std::min(waiting_.size(), kMostInOne);
    for (size_t i = 0; i < count; ++i) {
      auto* revocation = response_.add_revocations();
      revocation->set_device_id(waiting_[i].device_id);
      *revocation->mutable_at() = TimeUtil::MicrosecondsToTimestamp(ToMicros(waiting_[i].at));
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(count));
    // A snapshot in pieces is complete with its last.
    if (waiting_.empty()) response_.set_snapshot(std::exchange(snapshot_, false));
    writing_ = true;
    StartWrite(&response_);
  }

  RevocationFeed* const feed_;
  // Constant once the constructor is done; OnDone comes later.
  uint64_t watch_ = 0;

  Mutex mu_;
  std::vector<Revocation> waiting_ IM_GUARDED_BY(mu_);
  bool snapshot_ IM_GUARDED_BY(mu_) = false;
  bool writing_ IM_GUARDED_BY(mu_) = false;
  bool finished_ IM_GUARDED_BY(mu_) = false;
  // How the stream ends, once no write is under way.
  std::optional<absl::Status> end_ IM_GUARDED_BY(mu_);
  // Of the write in flight.
  WatchRevocationsResponse response_;
};

}  // namespace

grpc::ServerWriteReactor<WatchRevocationsResponse>* DirectoryService::WatchRevocations(
    grpc::CallbackServerContext*, const internal::v1::WatchRevocationsRequest*) {
  return new RevocationStream(feed_);
}

}  // namespace im::auth
