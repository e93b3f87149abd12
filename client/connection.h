// One Connect stream, from Hello to its end.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/strand.h"
#include "client/timers.h"
#include "client/tokens.h"
#include "im/gateway/v1/gateway.grpc.pb.h"

namespace im::client {

// Sends Hello, keeps the stream alive by heartbeats, takes it as dead after three intervals without
// a word, refreshes its token before that expires, and matches answers to frames.
//
// Everything, its callbacks included, happens on the owner's strand. Keeps itself alive until the
// stream is over; hold it by shared_ptr.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // The first frame of the server.
    virtual void OnWelcome(const gateway::v1::Welcome& welcome) = 0;
    // Every later frame but answers, heartbeats and SessionEnd.
    virtual void OnFrame(gateway::v1::ServerFrame frame) = 0;
    // Once, last. `end`: what the server said, if it ended the stream.
    virtual void OnClosed(const absl::Status& status,
                          const std::optional<gateway::v1::SessionEnd>& end) = 0;
  };
  using Done = std::function<void(absl::StatusOr<gateway::v1::Answer>)>;

  // The listener is held until OnClosed. `token` is what `tokens` gave.
  static std::shared_ptr<Connection> Open(std::shared_ptr<Channel> channel,
                                          std::shared_ptr<TokenSource> tokens, Timers* timers,
                                          const Strand& strand, std::shared_ptr<Listener> listener,
                                          const std::string& token,
                                          const gateway::v1::Hello& hello);
  ~Connection();

  // Sends a frame that is answered (call_id is filled in). `done` gets the answer, the failure that
  // the server says, or UNAVAILABLE when the stream ended first (then the outcome is unknown).
  void Call(gateway::v1::ConnectRequest frame, Done done);
  // Sends a frame without an answer.
  void Tell(gateway::v1::ConnectRequest frame);
  // Ends the stream; OnClosed follows.
  void Close(const absl::Status& why);

 private:
  class Stream;
  struct Waiting {
    Clock::time_point since;
    Done done;
  };

  Connection(std::shared_ptr<Channel> channel, std::shared_ptr<TokenSource> tokens, Timers* timers,
             const Strand& strand, std::shared_ptr<Listener> listener, const std::string& token);

  void Heard(gateway::v1::ServerFrame frame);
  void Welcomed(const gateway::v1::Welcome& welcome);
  void Answered(gateway::v1::Answer answer);
  void Over(const absl::Status& status);
  void WatchAt(Clock::time_point when);
  void Watch();
  void RefreshBefore(const google::protobuf::Timestamp& expiry);
  void RefreshIn(std::chrono::milliseconds delay);
  void RefreshToken();

  const std::shared_ptr<Channel> channel_;
  const std::shared_ptr<TokenSource> tokens_;
  Timers* const timers_;
  Strand strand_;
  // Null once the stream is over.
  std::shared_ptr<Listener> listener_;

  // Owned by gRPC until it is over; null from then on.
  Stream* stream_ = nullptr;
  std::string token_;
  bool over_ = false;
  bool welcomed_ = false;
  // Why we ended it, if we did.
  absl::Status closed_by_us_;
  std::optional<gateway::v1::SessionEnd> end_;
  std::map<uint64_t, Waiting> waiting_;
  uint64_t last_call_id_ = 0;
  Clock::duration interval_;
  // What to add to our clock (time since its epoch) for the server's wall clock.
  std::chrono::milliseconds server_ahead_{0};
  Clock::time_point last_sent_;
  Clock::time_point last_heard_;
};

}  // namespace im::client
