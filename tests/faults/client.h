// A device in the fault test: a session of the client library, and everything it does and is told
// recorded.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/session.h"
#include "client/timers.h"
#include "client/tokens.h"
#include "common/base/mutex.h"
#include "im/auth/v1/accounts.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "tests/faults/history.h"

namespace im::faults {

using client::Clock;

// Where an entry is, according to an answer.
struct Place {
  int64_t conversation = 0;
  // 0: nothing was to be changed.
  int64_t seq = 0;
  int64_t at = 0;
};

// A message that was given to the session.
struct Sending {
  chat::v1::SendMessageRequest request;
  uint64_t hash = 0;
  // Ready when the session has done with it.
  std::shared_future<Outcome> outcome;
};

// One thread uses it at a time; what it is told comes on others.
class Client : public client::Observer {
 public:
  // Recorder and timers must outlive it. `doors`: the gateways' addresses.
  Client(Recorder* recorder, client::Timers* timers, std::vector<std::string> doors, int64_t person,
         const std::string& name, Device::Part part, const auth::v1::Tokens& tokens);
  ~Client() override;

  int64_t person() const { return person_; }
  int number() const { return number_; }

  // Begins a session with what the device has. epoch 0: nothing.
  void Connect(client::Snapshot snapshot, size_t door);
  // Ends it; what the device has. Messages that are under way are unknown then.
  client::Snapshot Disconnect();
  bool connected() const { return session_ != nullptr; }
  client::Session& session() { return *session_; }
  bool IsLive();
  // Whether the server ended the session for good.
  bool IsOver();
  bool WaitLive(Clock::time_point deadline);
  // A number that rises whenever a stream is lost.
  int64_t losses();

  // By the session, which tries until it is taken or refused.
  Sending Send(int64_t conversation, const std::string& text);
  // By one unary call. `hasty`: which is given up so soon that its outcome is often unknown.
  Outcome SendOnce(const chat::v1::SendMessageRequest& request, bool hasty = false);
  // By unary calls until one is answered for good, or the deadline.
  Outcome Settle(const chat::v1::SendMessageRequest& request, Clock::time_point deadline);

  // Makes an entry of another kind: calls until it is answered for good, or the deadline.
  Attempt Change(EntryKind kind, int64_t conversation, const std::string& request_id,
                 const std::function<absl::StatusOr<Place>()>& call, Clock::time_point deadline);
  void SetBlocked(int64_t other, bool block, Clock::time_point deadline);
  // False: no answer.
  bool Read(int64_t conversation, int64_t seq);
  // Reads a whole history into the record, as a reader sees it.
  absl::Status ReadHistory(int64_t conversation);

  // A unary call with a good token: Call(&MessageService::Stub::MarkRead, request).
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    return CallOn(channel_, method, request);
  }
  // Calls until it succeeds or fails for good, or the deadline.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> CallUntil(Clock::time_point deadline,
                                     grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                                     const Request& request) {
    for (;;) {
      auto response = Call(method, request);
      if (response.ok() || !LeavesOpen(response.status()) || !Pause(deadline)) return response;
    }
  }

 private:
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> CallOn(const std::shared_ptr<client::Channel>& channel,
                                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                               Response*),
                                  const Request& request) {
    const absl::StatusOr<std::string> token = Token();
    if (!token.ok()) return token.status();
    auto response = channel->Call(method, request, *token);
    if (absl::IsUnauthenticated(response.status())) refused_ = *token;
    return response;
  }
  // Whether an error leaves open what happened, or says nothing about the request.
  static bool LeavesOpen(const absl::Status& status);
  // Before trying again; false past the deadline.
  static bool Pause(Clock::time_point deadline);
  absl::StatusOr<std::string> Token();

  void OnConnection(client::ConnectionState state, const absl::Status& why,
                    std::chrono::milliseconds retry_in) override;
  void OnForgotten() override;
  void OnConversation(const chat::v1::Conversation& conversation, bool listed) override;
  void OnEntry(const chat::v1::Entry& entry) override;
  void OnGap(const chat::v1::Gap& gap) override;
  void OnWatermark(const chat::v1::WatermarkChanged& changed) override;
  void OnOwnRecord(const chat::v1::OwnRecord& record) override;
  void SeeEntry(const chat::v1::Entry& entry);

  Recorder* const recorder_;
  client::Timers* const timers_;
  const std::vector<std::string> doors_;
  const int64_t person_;
  const std::string name_;
  const int number_;
  std::shared_ptr<client::MemoryTokens> tokens_;
  std::string refused_;
  std::shared_ptr<client::Channel> channel_;
  std::shared_ptr<client::Channel> hasty_;
  std::unique_ptr<client::Session> session_;
  // Messages sent so far to each conversation.
  std::map<int64_t, int64_t> sent_;

  Mutex mu_;
  CondVar changed_;
  client::ConnectionState state_ IM_GUARDED_BY(mu_) = client::ConnectionState::kConnecting;
  int64_t losses_ IM_GUARDED_BY(mu_) = 0;
};

}  // namespace im::faults
