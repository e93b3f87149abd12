// One person of a replay: a client like any other, that remembers what it saw.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/accounts.h"
#include "bench/delivery_check.h"
#include "client/channel.h"
#include "client/outbox.h"
#include "client/session.h"
#include "client/timers.h"
#include "client/tokens.h"
#include "common/base/mutex.h"
#include "im/chat/v1/entries.pb.h"

namespace im::bench {

// What the judge compares.
KnownEntry Known(const chat::v1::Entry& entry);

// Thread-safe. Has a connection of its own.
class Member : public client::Observer {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // An entry that came by itself.
  struct Arrival {
    KnownEntry entry;
    std::chrono::steady_clock::time_point at;
  };

  static absl::StatusOr<std::unique_ptr<Member>> Connect(const std::string& address,
                                                         const Account& account,
                                                         client::Timers* timers);
  ~Member() override = default;

  int64_t user_id() const { return user_id_; }
  bool live() const;
  // Why the session is over for good; OK while it is not.
  absl::Status ended() const;
  // The newest seq that arrived, or that a gap covers.
  int64_t newest_seq() const;
  int64_t arrivals() const;
  client::SessionCounts counts() { return session_->counts(); }

  // Through the stream; waits until it is stored, however often that takes.
  absl::StatusOr<chat::v1::SendMessageResponse> Say(int64_t conversation_id,
                                                    const std::string& text, Deadline deadline);

  // A unary call, repeated as it is until it is answered for good.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, Deadline deadline) {
    client::Backoff backoff(kRetry, [] { return 1.0; });
    std::string refused;
    for (;;) {
      const absl::StatusOr<std::string> token = Token(refused);
      absl::StatusOr<Response> response = token.ok() ? channel_->Call(method, request, *token)
                                                     : absl::StatusOr<Response>(token.status());
      if (response.ok()) return response;
      const bool other_token = token.ok() && absl::IsUnauthenticated(response.status());
      if (!other_token && !client::IsRetryable(response.status())) return response;
      refused = other_token ? *token : std::string();
      const auto again = std::chrono::steady_clock::now() + backoff.Next();
      if (again >= deadline) return response;
      std::this_thread::sleep_until(again);
    }
  }

  // Everything the server lists for this member with seqs from `from` to `to` (0: the end).
  absl::StatusOr<std::vector<KnownEntry>> List(int64_t conversation_id, int64_t from, int64_t to,
                                               Deadline deadline);

  // Loads what a resume left out, and returns all that arrived, in order. Ends the session.
  absl::StatusOr<std::vector<KnownEntry>> Finish(int64_t conversation_id, Deadline deadline);
  // What came by itself, once the session is over.
  const std::vector<Arrival>& live_arrivals() const IM_EXCLUDES(mu_);

  // client::Observer
  void OnConnection(client::ConnectionState state, const absl::Status& why,
                    std::chrono::milliseconds retry_in) override;
  void OnForgotten() override;
  void OnConversation(const chat::v1::Conversation& conversation, bool listed) override;
  void OnEntry(const chat::v1::Entry& entry) override;
  void OnGap(const chat::v1::Gap& gap) override;

 private:
  // Entries from..to were left out behind the first `place` that arrived.
  struct Gap {
    size_t place;
    int64_t from;
    int64_t to;
  };

  static constexpr client::Backoff::Limits kRetry{std::chrono::milliseconds(50),
                                                  std::chrono::milliseconds(1'000)};

  Member(std::shared_ptr<client::Channel> channel, const Account& account, client::Timers* timers);

  absl::StatusOr<std::string> Token(const std::string& refused);

  const int64_t user_id_;
  const std::shared_ptr<client::Channel> channel_;
  const std::shared_ptr<client::MemoryTokens> tokens_;

  mutable Mutex mu_;
  client::ConnectionState state_ IM_GUARDED_BY(mu_) = client::ConnectionState::kConnecting;
  absl::Status ended_ IM_GUARDED_BY(mu_);
  std::vector<Arrival> arrivals_ IM_GUARDED_BY(mu_);
  std::vector<Gap> gaps_ IM_GUARDED_BY(mu_);
  int64_t newest_seq_ IM_GUARDED_BY(mu_) = 0;

  // Last: it calls the observer until it is gone.
  std::unique_ptr<client::Session> session_;
};

}  // namespace im::bench
