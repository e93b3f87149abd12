// A gateway played by the test, and a clock that the test moves.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/session.h"
#include "client/timers.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "im/gateway/v1/gateway.grpc.pb.h"

namespace im::client::testing {

// Things that happen on other threads, to be waited for.
template <typename T>
class Inflow {
 public:
  void Put(T value) {
    std::lock_guard lock(mu_);
    values_.push_back(std::move(value));
    changed_.notify_all();
  }
  // nullopt: nothing came for ten seconds, or it is closed.
  std::optional<T> Take() {
    std::unique_lock lock(mu_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return !values_.empty() || closed_; });
    if (values_.empty()) return std::nullopt;
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }
  void Close() {
    std::lock_guard lock(mu_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<T> values_;
  bool closed_ = false;
};

// Moves only when told to; what falls due is called on the thread that moves it.
class FakeTimers : public Timers {
 public:
  Clock::time_point Now() override;
  void After(Clock::duration delay, std::function<void()> work) override;
  void Advance(Clock::duration by);
  // Waits until something is due within this time, and moves there. False after ten seconds.
  bool RunNext(Clock::duration within);

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  Clock::time_point now_{std::chrono::hours(1)};
  std::multimap<Clock::time_point, std::function<void()>> due_;
};

// The server's end of one Connect stream.
class FakeStream
    : public grpc::ServerBidiReactor<gateway::v1::ConnectRequest, gateway::v1::ConnectResponse> {
 public:
  explicit FakeStream(grpc::CallbackServerContext* context);

  // Keeps it alive until gRPC is done with it.
  void Begin(std::shared_ptr<FakeStream> self);
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override;

  // The client's next frame; nullopt: it is gone.
  std::optional<gateway::v1::ConnectRequest> Read() { return frames_.Take(); }
  // Skips acknowledgements and heartbeats.
  std::optional<gateway::v1::ConnectRequest> ReadPast(
      std::vector<gateway::v1::ConnectRequest::FrameCase> skipped);
  void Write(const gateway::v1::ServerFrame& frame);
  void End(const grpc::Status& status = grpc::Status::OK);

  // Reads Hello and says Welcome; returns Hello.
  gateway::v1::Hello Welcome(int64_t epoch = 7);
  void CaughtUp(int64_t own_log_position = 0);
  void Chat(const chat::v1::Event& event);
  void Entry(const chat::v1::Entry& entry);
  void AnswerSend(const gateway::v1::ConnectRequest& frame, int64_t seq);
  void Fail(const gateway::v1::ConnectRequest& frame, const absl::Status& status);

  const std::string& token() const { return token_; }

 private:
  // With mu_ held.
  void WriteOrFinish();

  std::string token_;
  gateway::v1::ConnectRequest request_;
  Inflow<gateway::v1::ConnectRequest> frames_;
  std::mutex mu_;
  std::deque<gateway::v1::ConnectResponse> responses_;
  bool writing_ = false;
  bool finished_ = false;
  std::optional<grpc::Status> end_;
  std::shared_ptr<FakeStream> self_;
};

// Listens on a unix socket of its own. Streams are played by the test; lists are answered from what
// is stored here.
class FakeGateway : public gateway::v1::GatewayService::CallbackService,
                    public chat::v1::MessageService::Service,
                    public chat::v1::ConversationService::Service,
                    public auth::v1::AccountService::Service {
 public:
  FakeGateway();
  ~FakeGateway() override;

  const std::string& address() const { return address_; }
  // The next stream that a client opens.
  std::shared_ptr<FakeStream> Accept();

  void Store(const chat::v1::Entry& entry);
  void Store(const chat::v1::Conversation& conversation);
  // The next ListConversations is answered after ReleaseList.
  void HoldNextList() { hold_list_ = true; }
  void ReleaseList() { list_releases_.Put(true); }
  // The next ListEntries fail so, one each.
  void FailNextLoad(const grpc::Status& status);
  std::vector<chat::v1::ListEntriesRequest> loads();

  grpc::ServerBidiReactor<gateway::v1::ConnectRequest, gateway::v1::ConnectResponse>* Connect(
      grpc::CallbackServerContext* context) override;
  grpc::Status ListEntries(grpc::ServerContext* context,
                           const chat::v1::ListEntriesRequest* request,
                           chat::v1::ListEntriesResponse* response) override;
  grpc::Status ListConversations(grpc::ServerContext* context,
                                 const chat::v1::ListConversationsRequest* request,
                                 chat::v1::ListConversationsResponse* response) override;
  grpc::Status GetConversation(grpc::ServerContext* context,
                               const chat::v1::GetConversationRequest* request,
                               chat::v1::GetConversationResponse* response) override;
  grpc::Status Refresh(grpc::ServerContext* context, const auth::v1::RefreshRequest* request,
                       auth::v1::RefreshResponse* response) override;

 private:
  std::string folder_;
  std::string address_;
  Inflow<std::shared_ptr<FakeStream>> streams_;
  std::atomic<bool> hold_list_{false};
  Inflow<bool> list_releases_;
  std::mutex mu_;
  std::map<int64_t, std::map<int64_t, chat::v1::Entry>> entries_;
  std::map<int64_t, chat::v1::Conversation> conversations_;
  std::deque<grpc::Status> load_failures_;
  std::vector<chat::v1::ListEntriesRequest> loads_;
  int refreshes_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// What an observer was told, as lines: "entry 1/2 hello", "live", "gap 1/3-9".
class Recorder : public Observer {
 public:
  // The next line; "" if none comes.
  std::string Next() { return lines_.Take().value_or(""); }
  // The next lines that are not of the connection's state.
  std::vector<std::string> NextEntries(int count);
  // Skips until a line begins so.
  bool Await(const std::string& begin);

  void OnConnection(ConnectionState state, const absl::Status& why,
                    std::chrono::milliseconds retry_in) override;
  void OnForgotten() override { lines_.Put("forgotten"); }
  void OnConversation(const chat::v1::Conversation& conversation, bool listed) override;
  void OnEntry(const chat::v1::Entry& entry) override;
  void OnGap(const chat::v1::Gap& gap) override;
  void OnOwnRecord(const chat::v1::OwnRecord& record) override;

 private:
  Inflow<std::string> lines_;
};

chat::v1::Entry TextEntry(int64_t conversation_id, int64_t seq, const std::string& text,
                          int64_t sender = 2);
chat::v1::Content TextContent(const std::string& text);
chat::v1::Conversation DirectConversation(int64_t conversation_id, int64_t last_seq);

}  // namespace im::client::testing
