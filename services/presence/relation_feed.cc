#include "services/presence/relation_feed.h"

#include "common/base/log.h"

namespace im::presence {
namespace {

using internal::v1::WatchRelationsRequest;
using internal::v1::WatchRelationsResponse;

// How soon after a break the next stream is tried. The channel itself waits for im-chat to listen,
// so this is for one that answers with errors.
constexpr std::chrono::milliseconds kRetry{200};
// Of users added by one message: each is ten bytes, and a message at most 1 MB.
constexpr int kUsersPerMessage = 20000;

}  // namespace

// One WatchRelations call. Deletes itself in OnDone.
class RelationFeed::Stream
    : public grpc::ClientBidiReactor<WatchRelationsRequest, WatchRelationsResponse> {
 public:
  explicit Stream(RelationFeed* feed) : feed_(feed) {}

  // Writes may start from here on.
  void Prepare() {
    context_.set_wait_for_ready(true);
    feed_->stub_->async()->WatchRelations(&context_, this);
    // Writes start outside of reactions, so the call is held until no more will.
    AddHold();
    StartRead(&response_);
  }
  void Run() { StartCall(); }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (ok) {
      feed_->OnResponse(response_);
      StartRead(&response_);
      return;
    }
    {
      MutexLock lock(&feed_->mu_);
      feed_->open_ = false;
    }
    RemoveHold();
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&feed_->mu_);
    feed_->writing_ = false;
    // After a write that failed, the read fails too, and ends the stream.
    if (ok) feed_->WriteLocked();
  }

  void OnDone(const grpc::Status& status) override {
    Log(LogLevel::kInfo, "relation_feed_down", {{"code", static_cast<int>(status.error_code())}});
    // The feed may be gone as soon as it knows.
    feed_->OnEnded();
    delete this;
  }

 private:
  RelationFeed* const feed_;
  grpc::ClientContext context_;
  WatchRelationsResponse response_;
};

RelationFeed::RelationFeed(std::shared_ptr<grpc::Channel> channel, Handlers handlers)
    : stub_(internal::v1::RelationService::NewStub(std::move(channel))),
      handlers_(std::move(handlers)),
      keeper_(std::make_unique<Ticker>(kRetry, [this] { KeepUp(); })) {}

RelationFeed::~RelationFeed() {
  keeper_.reset();
  MutexLock lock(&mu_);
  if (stream_ != nullptr) stream_->Cancel();
  while (stream_ != nullptr) ended_.Wait(&mu_);
}

// Only here, on the keeper's thread, streams are made.
void RelationFeed::KeepUp() {
  {
    MutexLock lock(&mu_);
    if (stream_ != nullptr) return;
  }
  auto* stream = new Stream(this);
  stream->Prepare();
  {
    MutexLock lock(&mu_);
    stream_ = stream;
    writing_ = false;
    to_remove_.clear();
    to_acknowledge_ = acknowledged_ = 0;
    for (auto& [user, asked] : users_) {
      asked = false;
      to_add_.insert(user);
    }
    open_ = true;
    WriteLocked();
  }
  stream->Run();
}

void RelationFeed::Add(UserId user) {
  MutexLock lock(&mu_);
  if (!users_.try_emplace(user, false).second) return;
  to_add_.insert(user);
  WriteLocked();
}

void RelationFeed::Remove(UserId user) {
  MutexLock lock(&mu_);
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  if (found->second) to_remove_.insert(user);
  users_.erase(found);
  to_add_.erase(user);
  WriteLocked();
}

void RelationFeed::Refresh(UserId user) {
  MutexLock lock(&mu_);
  const auto found = users_.find(user);
  if (found == users_.end() || !found->second) return;
  found->second = false;
  to_remove_.insert(user);
  to_add_.insert(user);
  WriteLocked();
}

bool RelationFeed::up() const {
  MutexLock lock(&mu_);
  return up_;
}

void RelationFeed::WriteLocked() {
  if (!open_ || writing_) return;
  if (to_add_.empty() && to_remove_.empty() && to_acknowledge_ == acknowledged_) return;
  request_.Clear();
  for (const UserId user : to_remove_) request_.add_remove_user_ids(user);
  absl::erase_if(to_add_, [this](UserId user) IM_REQUIRES(mu_) {
    // Who is removed and added again is added by the next message.
    if (request_.add_user_ids_size() >= kUsersPerMessage || to_remove_.contains(user)) return false;
    users_.at(user) = true;
    request_.add_add_user_ids(user);
    return true;
  });
  to_remove_.clear();
  acknowledged_ = to_acknowledge_;
  request_.set_acknowledged(acknowledged_);
  writing_ = true;
  stream_->StartWrite(&request_);
}

void RelationFeed::OnResponse(const WatchRelationsResponse& response) {
  std::vector<Picture> pictures;
  {
    MutexLock lock(&mu_);
    for (const internal::v1::Relations& relations : response.relations()) {
      // Nobody's who is still to be asked for: it would be taken for the answer.
      const auto found = users_.find(relations.user_id());
      if (found == users_.end() || !found->second) continue;
      pictures.emplace_back(relations.user_id(),
                            std::vector<UserId>(relations.visible_user_ids().begin(),
                                                relations.visible_user_ids().end()));
    }
  }
  handlers_.on_pictures(std::move(pictures));
  MutexLock lock(&mu_);
  up_ = true;
  to_acknowledge_ = response.number();
  WriteLocked();
}

void RelationFeed::OnEnded() {
  handlers_.on_broken();
  MutexLock lock(&mu_);
  up_ = false;
  open_ = false;
  stream_ = nullptr;
  ended_.NotifyAll();
}

}  // namespace im::presence
