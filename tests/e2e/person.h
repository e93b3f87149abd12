// People with devices, for end-to-end tests that read aloud.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/channel.h"
#include "client/session.h"
#include "client/timers.h"
#include "client/tokens.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"

namespace im::testing {

// A connected device: keeps what it was told, but for entries from before it was told that the data
// is another. Methods that wait give up after 20 seconds, if not told otherwise, and fail the test.
class Device : public client::Observer {
 public:
  Device(const std::string& server, const auth::v1::Tokens& tokens,
         client::SessionOptions options = {});
  ~Device() override;

  // Waits until it has everything.
  void WaitLive();
  // Sends, and waits for the answer. The device goes on trying after DEADLINE_EXCEEDED.
  absl::StatusOr<chat::v1::SendMessageResponse> Sends(
      int64_t conversation, const std::string& text,
      std::chrono::seconds patience = std::chrono::seconds(20));
  // The texts of the messages of a conversation, in order, waiting until there are `count`.
  std::vector<std::string> Hears(int64_t conversation, size_t count);
  // All entries so far, of all conversations.
  std::vector<chat::v1::Entry> Entries();
  // Waits until `condition` holds on what was told; it is called under a lock.
  bool WaitFor(const std::function<bool(const Device&)>& condition,
               std::chrono::seconds patience = std::chrono::seconds(20));

  client::Session& session() { return *session_; }

  // Guarded; to be read in WaitFor's condition.
  std::vector<chat::v1::Entry> entries;
  std::vector<chat::v1::Gap> gaps;
  std::vector<chat::v1::OwnRecord> own_records;
  std::vector<chat::v1::WatermarkChanged> watermarks;
  std::vector<chat::v1::TypingChanged> typings;
  std::vector<presence::v1::Presence> presences;
  // What it shows of others now, and how often somebody who was not became OFFLINE.
  std::map<int64_t, presence::v1::Status> screen;
  int went_offline = 0;
  client::ConnectionState state = client::ConnectionState::kConnecting;
  absl::Status why;
  int forgotten = 0;

 private:
  void OnConnection(client::ConnectionState state, const absl::Status& why,
                    std::chrono::milliseconds retry_in) override;
  void OnEntry(const chat::v1::Entry& entry) override;
  void OnGap(const chat::v1::Gap& gap) override;
  void OnOwnRecord(const chat::v1::OwnRecord& record) override;
  void OnWatermark(const chat::v1::WatermarkChanged& changed) override;
  void OnTyping(const chat::v1::TypingChanged& changed) override;
  void OnPresence(const presence::v1::Event& event) override;
  void OnForgotten() override;
  template <typename F>
  void Note(F change);
  void Show(int64_t user, presence::v1::Status status);

  std::mutex mu_;
  std::condition_variable changed_;
  client::TimerThread timers_;
  std::shared_ptr<client::Channel> channel_;
  std::unique_ptr<client::Session> session_;
};

// An account. Failures of the calls below fail the test.
class Person {
 public:
  // Registers.
  Person(const std::string& server, const std::string& name);

  int64_t id() const { return id_; }
  const std::string& name() const { return name_; }
  // Another device of the account, connected. The caller waits for it.
  std::unique_ptr<Device> Connects(client::SessionOptions options = {});

  // Becomes a contact of the other.
  void Befriends(Person& other);
  int64_t OpensDirect(const Person& other);
  int64_t CreatesGroup(const std::string& title, const std::vector<int64_t>& members);
  std::vector<std::string> ReadsHistory(int64_t conversation);

  // A unary call as this person; Call(&chat::v1::ContactService::Stub::BlockUser, request).
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    return channel_->Call(method, request, tokens_.access_token());
  }
  auth::v1::Tokens LogsIn();
  const auth::v1::Tokens& tokens() const { return tokens_; }

 private:
  const std::string server_;
  const std::string name_;
  std::shared_ptr<client::Channel> channel_;
  auth::v1::Tokens tokens_;
  int64_t id_ = 0;
};

}  // namespace im::testing
