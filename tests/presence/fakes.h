// The neighbours of im-presence: an im-chat that tells of relations, and a gateway.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "im/internal/v1/link.grpc.pb.h"
#include "im/internal/v1/services.grpc.pb.h"
#include "im/presence/v1/presence.pb.h"

namespace im::presence::testing {

inline std::chrono::steady_clock::time_point Soon() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(20);
}

// Serves RelationService as its comments say. Thread-safe.
class FakeChat : public internal::v1::RelationService::Service {
 public:
  explicit FakeChat(std::string address) : address_(std::move(address)) { Start(); }
  ~FakeChat() override { Stop(); }

  void Start() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  void Stop() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }

  void SetContacts(int64_t a, int64_t b, bool contacts) {
    MutexLock lock(&mu_);
    if (contacts) {
      visible_[a].insert(b);
      visible_[b].insert(a);
    } else {
      visible_[a].erase(b);
      visible_[b].erase(a);
    }
  }
  // Blocks, and returns when the watcher has acknowledged it; false if it does not.
  bool Block(int64_t a, int64_t b) {
    SetContacts(a, b, false);
    MutexLock lock(&mu_);
    if (stream_ == nullptr) return true;
    const uint64_t number = SendLocked({a, b});
    const auto deadline = Soon();
    while (acknowledged_ < number && stream_ != nullptr) {
      if (!changed_.WaitUntil(&mu_, deadline)) return false;
    }
    return acknowledged_ >= number;
  }
  void Tell(int64_t a, int64_t b) {
    MutexLock lock(&mu_);
    if (stream_ != nullptr) SendLocked({a, b});
  }
  bool Watches(int64_t user) {
    MutexLock lock(&mu_);
    return watched_.count(user) > 0;
  }
  // Waits until the watchers' stream is there.
  bool WaitForWatcher() {
    MutexLock lock(&mu_);
    const auto deadline = Soon();
    while (stream_ == nullptr) {
      if (!changed_.WaitUntil(&mu_, deadline)) return false;
    }
    return true;
  }

  grpc::Status WatchRelations(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<internal::v1::WatchRelationsResponse,
                               internal::v1::WatchRelationsRequest>* stream) override {
    {
      MutexLock lock(&mu_);
      stream_ = stream;
      number_ = acknowledged_ = 0;
      watched_.clear();
      changed_.NotifyAll();
    }
    internal::v1::WatchRelationsRequest request;
    while (stream->Read(&request)) {
      MutexLock lock(&mu_);
      for (const int64_t user : request.remove_user_ids()) watched_.erase(user);
      watched_.insert(request.add_user_ids().begin(), request.add_user_ids().end());
      acknowledged_ = std::max(acknowledged_, request.acknowledged());
      if (request.add_user_ids_size() > 0) {
        SendLocked({request.add_user_ids().begin(), request.add_user_ids().end()});
      }
      changed_.NotifyAll();
    }
    MutexLock lock(&mu_);
    stream_ = nullptr;
    changed_.NotifyAll();
    return grpc::Status::OK;
  }

 private:
  uint64_t SendLocked(const std::vector<int64_t>& users) IM_REQUIRES(mu_) {
    internal::v1::WatchRelationsResponse response;
    response.set_number(++number_);
    for (const int64_t user : users) {
      if (watched_.count(user) == 0) continue;
      auto* relations = response.add_relations();
      relations->set_user_id(user);
      for (const int64_t other : visible_[user]) relations->add_visible_user_ids(other);
    }
    stream_->Write(response);
    return number_;
  }

  const std::string address_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mu_;
  CondVar changed_;
  grpc::ServerReaderWriter<internal::v1::WatchRelationsResponse,
                           internal::v1::WatchRelationsRequest>* stream_ IM_GUARDED_BY(mu_) =
      nullptr;
  uint64_t number_ IM_GUARDED_BY(mu_) = 0;
  uint64_t acknowledged_ IM_GUARDED_BY(mu_) = 0;
  std::set<int64_t> watched_ IM_GUARDED_BY(mu_);
  std::map<int64_t, std::set<int64_t>> visible_ IM_GUARDED_BY(mu_);
};

// A gateway's link, and what the devices on it show. Thread-safe.
class FakeGateway {
 public:
  FakeGateway(const std::string& address, std::string id)
      : stub_(internal::v1::LinkService::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
        id_(std::move(id)) {}
  ~FakeGateway() { Unlink(); }

  // Links anew; the server may still be starting.
  void Link() {
    context_ = std::make_unique<grpc::ClientContext>();
    context_->set_wait_for_ready(true);
    context_->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stream_ = stub_->Attach(context_.get());
    internal::v1::AttachRequest hello;
    hello.add_items()->mutable_hello()->set_gateway_id(id_);
    stream_->Write(hello);
    reader_ = std::thread([this] { Read(); });
  }
  // Without a word, as when it is killed.
  void Unlink() {
    if (stream_ == nullptr) return;
    context_->TryCancel();
    reader_.join();
    stream_->Finish();
    stream_.reset();
  }

  void Open(uint64_t session, int64_t user, const std::string& token,
            v1::Status status = v1::STATUS_ONLINE) {
    {
      MutexLock lock(&mu_);
      users_[session] = user;
    }
    internal::v1::AttachRequest request;
    auto* open = request.add_items()->mutable_open();
    open->set_session(session);
    open->set_access_token(token);
    open->set_status(status);
    open->set_primary(true);
    stream_->Write(request);
  }
  void Close(uint64_t session, bool returning = false) {
    internal::v1::AttachRequest request;
    auto* close = request.add_items()->mutable_close();
    close->set_session(session);
    close->set_returning(returning);
    stream_->Write(request);
  }
  void Announce() {
    internal::v1::AttachRequest request;
    request.add_items()->mutable_announced();
    stream_->Write(request);
  }
  // The answer to a frame; nullopt if none comes.
  std::optional<internal::v1::CallAnswer> Call(uint64_t session, int frame,
                                               const std::string& bytes) {
    internal::v1::AttachRequest request;
    auto* call = request.add_items()->mutable_call();
    call->set_session(session);
    call->set_frame(frame);
    call->set_request(bytes);
    call->set_call_id(++next_call_);
    stream_->Write(request);
    MutexLock lock(&mu_);
    const auto deadline = Soon();
    while (answers_.count(next_call_) == 0) {
      if (!changed_.WaitUntil(&mu_, deadline)) return std::nullopt;
    }
    return answers_[next_call_];
  }

  // Waits until the devices of a user show another so.
  bool Shows(int64_t viewer, int64_t subject, v1::Status status) {
    return Eventually([&]() IM_REQUIRES(mu_) {
      const auto found = screens_[viewer].find(subject);
      return (found == screens_[viewer].end() ? v1::STATUS_OFFLINE : found->second.status()) ==
             status;
    });
  }
  // The newest word on somebody.
  std::optional<v1::Presence> Last(int64_t viewer, int64_t subject) {
    MutexLock lock(&mu_);
    const auto found = screens_[viewer].find(subject);
    if (found == screens_[viewer].end()) return std::nullopt;
    return found->second;
  }
  // Waits for a session's whole picture, one that came since the last ask.
  bool Pictured(uint64_t session) {
    return Eventually([&]() IM_REQUIRES(mu_) { return pictured_.erase(session) > 0; });
  }
  // Waits to hear that a unary call set the status of a session.
  bool HearsStatus(uint64_t session, v1::Status status) {
    return Eventually([&]() IM_REQUIRES(mu_) {
      const auto found = statuses_.find(session);
      return found != statuses_.end() && found->second == status;
    });
  }
  bool Opened(uint64_t session) {
    return Eventually([&]() IM_REQUIRES(mu_) { return opened_.count(session) > 0; });
  }
  bool Refused(uint64_t session) {
    return Eventually([&]() IM_REQUIRES(mu_) { return refused_.count(session) > 0; });
  }
  // Every change to OFFLINE that any device was told, ever.
  int offline_told() {
    MutexLock lock(&mu_);
    return offline_told_;
  }

 private:
  bool Eventually(const std::function<bool()>& condition) IM_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    const auto deadline = Soon();
    while (!condition()) {
      if (!changed_.WaitUntil(&mu_, deadline)) return condition();
    }
    return true;
  }

  void Read() {
    internal::v1::AttachResponse response;
    while (stream_->Read(&response)) {
      MutexLock lock(&mu_);
      for (const auto& item : response.items()) Take(item);
      changed_.NotifyAll();
    }
  }

  void Take(const internal::v1::ServiceItem& item) IM_REQUIRES(mu_) {
    if (item.has_opened()) opened_.insert(item.opened().session());
    if (item.has_status_set()) {
      statuses_[item.status_set().session()] = item.status_set().status();
    }
    if (item.has_refused()) refused_.insert(item.refused().session());
    if (item.has_answer()) answers_[item.answer().call_id()] = item.answer();
    if (item.has_publication()) {
      v1::Event event;
      event.ParseFromString(item.publication().event());
      for (const int64_t user : item.publication().user_ids()) Show(user, event);
    }
    if (item.has_delivery()) {
      v1::Event event;
      event.ParseFromString(item.delivery().event());
      Show(users_[item.delivery().session()], event);
      if (event.complete()) pictured_.insert(item.delivery().session());
    }
  }

  void Show(int64_t viewer, const v1::Event& event) IM_REQUIRES(mu_) {
    auto& screen = screens_[viewer];
    if (event.complete()) {
      std::set<int64_t> listed;
      for (const auto& presence : event.presences()) listed.insert(presence.user_id());
      for (auto& [user, presence] : screen) {
        if (listed.count(user) > 0 || presence.status() == v1::STATUS_OFFLINE) continue;
        presence.set_status(v1::STATUS_OFFLINE);
        ++offline_told_;
      }
    }
    for (const auto& presence : event.presences()) {
      if (presence.status() == v1::STATUS_OFFLINE) ++offline_told_;
      screen[presence.user_id()] = presence;
    }
  }

  const std::unique_ptr<internal::v1::LinkService::Stub> stub_;
  const std::string id_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<internal::v1::AttachRequest, internal::v1::AttachResponse>>
      stream_;
  std::thread reader_;
  uint64_t next_call_ = 0;

  Mutex mu_;
  CondVar changed_;
  std::map<uint64_t, int64_t> users_ IM_GUARDED_BY(mu_);
  std::map<uint64_t, internal::v1::CallAnswer> answers_ IM_GUARDED_BY(mu_);
  std::map<int64_t, std::map<int64_t, v1::Presence>> screens_ IM_GUARDED_BY(mu_);
  std::set<uint64_t> opened_ IM_GUARDED_BY(mu_);
  std::set<uint64_t> refused_ IM_GUARDED_BY(mu_);
  std::map<uint64_t, v1::Status> statuses_ IM_GUARDED_BY(mu_);
  std::set<uint64_t> pictured_ IM_GUARDED_BY(mu_);
  int offline_told_ IM_GUARDED_BY(mu_) = 0;
};

}  // namespace im::presence::testing
