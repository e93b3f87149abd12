// The seam between the door and what is behind it.
//
// The door speaks a transport and knows nothing of sessions. Behind it, sessions know no transport:
// they write shared frames into a Sink and hear of theirs by SessionEvents. A door for another
// transport implements Sink and calls Front and SessionEvents; nothing else changes.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/frame.h"

namespace im::gateway {

// Of a call or a response: names in lower case, values as they are meant, also those that HTTP/2
// carries in base64 (names that end in "-bin").
using Metadata = std::vector<std::pair<std::string, std::string>>;

// The way to one client, as long as its stream lasts. One caller at a time.
class Sink {
 public:
  virtual ~Sink() = default;

  // Takes a frame. false: the budget of bytes under way is used up, so no Write and no End until
  // SessionEvents::OnRoom, which is called exactly once for it, maybe before this returns.
  virtual bool Write(const Frame& frame) = 0;
  // Metadata of the response, which goes out at once, or with the first frame. At most once, before
  // Write and End. Where it is not called, the response has none of its own.
  virtual void SendHeaders(Metadata) {}
  // Metadata that goes out after the status. At most once, before End.
  virtual void SetTrailers(Metadata) {}
  // The last call: ends the stream with this status, once all that was written has gone out. After
  // SessionEvents::OnClosed it need not wait for OnRoom.
  virtual void End(const grpc::Status& status) = 0;

  // The following may be called by any thread at any time.

  // Goes on reading after OnFrame said false.
  virtual void Read() = 0;
  // Cuts the stream without a word; what is under way comes back as OnRoom.
  virtual void Cut() = 0;
};

// What a session hears of its stream. Called on the door's threads: never blocks.
class SessionEvents {
 public:
  virtual ~SessionEvents() = default;

  // A frame of the client (gateway.v1.ConnectRequest). false: read no more until Sink::Read.
  virtual bool OnFrame(std::string bytes) = 0;
  virtual void OnRoom() = 0;
  // The client says no more, and goes on listening.
  virtual void OnHalfClosed() = 0;
  // The client is gone, or nothing more comes of it; said once. Frames may still be written; End is
  // still owed.
  virtual void OnClosed() = 0;
};

// What the door knows of a call before its first message.
struct CallInfo {
  // "/im.chat.v1.MessageService/SendMessage"
  std::string path;
  // Metadata "authorization"; empty if there is none.
  std::string authorization;
  // Metadata "x-request-id", or one made up.
  std::string request_id;
  // The client's address ("10.0.0.1", "::1", "unix").
  std::string address;
  std::chrono::system_clock::time_point deadline;
  // What else the client sent. Of kRelay only.
  Metadata metadata;
};

// A unary call that is under way.
class OngoingCall {
 public:
  virtual ~OngoingCall() = default;
  // The client gave up. Done is called nevertheless.
  virtual void Cancel() = 0;
};

// What the door asks of the gateway. Thread-safe; never blocks.
class Front {
 public:
  virtual ~Front() = default;

  // kRelay: a call of any kind that is not the gateway's own, message by message.
  enum class Kind { kConnect, kSubscribe, kUnary, kRelay };
  virtual Kind KindOf(const std::string& path) const = 0;

  // A new stream. If it fails, the door ends the stream with the status.
  virtual absl::StatusOr<std::shared_ptr<SessionEvents>> Open(const CallInfo& call, Kind kind,
                                                              std::shared_ptr<Sink> sink) = 0;

  // The status goes to the client as it is.
  using Done = std::function<void(const grpc::Status& status, const grpc::ByteBuffer& response)>;
  // A unary call. `done` is called exactly once. May return null.
  virtual std::shared_ptr<OngoingCall> Call(const CallInfo& call, const grpc::ByteBuffer& request,
                                            Done done) = 0;
};

}  // namespace im::gateway
