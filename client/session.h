// A device that stays connected: comes back by itself, loses nothing, sends everything once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/backoff.h"
#include "client/channel.h"
#include "client/outbox.h"
#include "client/timers.h"
#include "client/tokens.h"
#include "common/base/random.h"
#include "im/chat/v1/sync.pb.h"
#include "im/gateway/v1/gateway.pb.h"
#include "im/presence/v1/presence.pb.h"

namespace im::client {

// What a device has, to go on from in a later run.
struct Snapshot {
  // epoch 0: nothing.
  chat::v1::Have have;
  // The stays and peers of the conversations in `have`.
  std::vector<chat::v1::Conversation> conversations;
};

enum class ConnectionState {
  kConnecting,
  // The server sends what was missed.
  kResuming,
  // Everything that was stored before has been applied or is being loaded.
  kLive,
  // Waiting to try again.
  kWaiting,
  // Over: see OnEnded.
  kEnded,
};

// Told what happens, one call at a time, on threads that are not the observer's. Must be quick, and
// must neither stop nor destroy the session from inside.
class Observer {
 public:
  virtual ~Observer() = default;

  // `why`: with kWaiting and kEnded, what went wrong. `retry_in`: with kWaiting.
  virtual void OnConnection(ConnectionState /*state*/, const absl::Status& /*why*/,
                            std::chrono::milliseconds /*retry_in*/) {}
  virtual void OnWelcome(const gateway::v1::Welcome&) {}
  // The data is not what it was: everything told before is void.
  virtual void OnForgotten() {}
  // A conversation from the list or from a resume. One from the list counts as had up to its
  // last_seq (`listed`): load what is before by ListEntries when somebody wants to see it.
  virtual void OnConversation(const chat::v1::Conversation&, bool /*listed*/) {}
  // An entry: each exactly once, in rising seq within its conversation, own ones included.
  virtual void OnEntry(const chat::v1::Entry&) {}
  // Entries that will not come by themselves: load them by ListEntries.
  virtual void OnGap(const chat::v1::Gap&) {}
  virtual void OnWatermark(const chat::v1::WatermarkChanged&) {}
  virtual void OnTyping(const chat::v1::TypingChanged&) {}
  virtual void OnOwnRecord(const chat::v1::OwnRecord&) {}
  virtual void OnPresence(const presence::v1::Event&) {}
};

// What happened so far, for measurements.
struct SessionCounts {
  // Entries that came more than once and were dropped by seq.
  int64_t repeats = 0;
  // Times that missing entries were loaded.
  int64_t loads = 0;
  int64_t connections = 0;
  int64_t resyncs = 0;
};

struct SessionOptions {
  Snapshot snapshot;
  presence::v1::Status status = presence::v1::STATUS_ONLINE;
  // How often to compare with the server without being asked.
  std::chrono::milliseconds have_every{600'000};
  // How long acknowledgements of delivery are gathered; 0: none are sent.
  std::chrono::milliseconds acknowledge_every{1'000};
  // How long to wait for entries that were overtaken before loading them.
  std::chrono::milliseconds load_grace{100};
  Backoff::Limits reconnect;
  Backoff::Limits resend{std::chrono::milliseconds(100), std::chrono::milliseconds(5'000)};
  // In [0, 1).
  std::function<double()> uniform = [] { return RandomBelow(1u << 30) / double(1u << 30); };
};

// Thread-safe. What it is given by pointer must outlive it. The destructor stops it.
class Session {
 public:
  using Sent = Outbox::Done;
  using Done = std::function<void(absl::Status)>;

  Session(std::shared_ptr<Channel> channel, std::shared_ptr<TokenSource> tokens, Timers* timers,
          Observer* observer, SessionOptions options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Start();
  // Cuts the stream and returns when no callback will come any more; what is not sent yet fails
  // with CANCELLED before that.
  void Stop();

  // Stores a message and keeps trying until the server took or refused it for good. Messages to one
  // conversation are stored in the order of these calls. Returns the request_id.
  // `done` comes before or after OnEntry of the same message.
  std::string Send(int64_t conversation_id, const chat::v1::Content& content, Sent done);

  // Marks as read, now or when the connection is back.
  void MarkRead(int64_t conversation_id, int64_t seq);
  // Lost when there is no connection.
  void SetTyping(int64_t conversation_id, bool typing);
  // Of this and all later connections. `done` tells how it went if connected, else OK.
  void SetStatus(presence::v1::Status status, Done done);
  // Compares with the server now.
  void Resync();

  // Calls `use` with what is had now, between two events.
  void WithSnapshot(std::function<void(const Snapshot&)> use);
  // Waits for it: not from inside of the observer.
  Snapshot GetSnapshot();
  SessionCounts counts();

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace im::client
