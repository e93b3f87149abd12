// Frames of the stream: the server's, made once and shared by all who get them, and the client's,
// read only as far as the gateway needs to.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "im/common/v1/failure.pb.h"
#include "im/gateway/v1/gateway.pb.h"

namespace im::gateway {

// A serialised ConnectResponse, which on the wire is a SubscribeResponse too. Copies share the
// bytes, counted. The slice is a counted block of memory here, nothing of the transport.
class Frame {
 public:
  Frame() = default;
  explicit Frame(std::string_view bytes) : slice_(bytes.data(), bytes.size()) {}

  size_t size() const { return slice_.size(); }
  const grpc::Slice& slice() const { return slice_; }

 private:
  grpc::Slice slice_;
};

// Field numbers of gateway.v1.ConnectRequest.
inline constexpr uint32_t kHelloFrame = 2;
inline constexpr uint32_t kHaveFrame = 3;
inline constexpr uint32_t kHeartbeatFrame = 4;
inline constexpr uint32_t kRefreshTokenFrame = 5;
inline constexpr uint32_t kSendMessageFrame = 10;
inline constexpr uint32_t kSetStatusFrame = 20;
// Frames 10 to 19 are answered by chat, 20 to 29 by presence, also those of a later version.
inline bool IsChatFrame(uint32_t number) { return number >= 10 && number <= 19; }
inline bool IsPresenceFrame(uint32_t number) { return number >= 20 && number <= 29; }

// Field numbers of gateway.v1.ServerFrame.
inline constexpr uint32_t kChatEvent = 3;
inline constexpr uint32_t kPresenceEvent = 4;

struct ClientFrame {
  uint64_t call_id = 0;
  // 0: nothing the gateway knows.
  uint32_t number = 0;
  std::string_view body;  // in what was parsed
};

// nullopt: no ConnectRequest at all.
std::optional<ClientFrame> ParseClientFrame(std::string_view bytes);

// The serialised Hello of a SubscribeRequest.
std::optional<std::string> ParseSubscribeRequest(std::string_view bytes);

struct SyncRequest {
  std::string session_id;
  std::optional<std::string> have;  // serialised
};
std::optional<SyncRequest> ParseSyncRequest(std::string_view bytes);

struct ClientHello {
  std::string have;  // serialised
  int status = 0;
};
std::optional<ClientHello> ParseHello(std::string_view bytes);

Frame MakeFrame(const v1::ServerFrame& frame);
// `event`: a serialised im.chat.v1.Event or im.presence.v1.Event.
Frame EventFrame(uint32_t number, std::string_view event);
// `response`: the serialised answer to the frame with that number.
Frame AnswerFrame(uint64_t call_id, uint32_t number, std::string_view response);
Frame FailureFrame(uint64_t call_id, const common::v1::Failure& failure);
Frame FailureFrame(uint64_t call_id, const absl::Status& status);
// OVERLOADED, with a time to wait.
Frame OverloadedFrame(uint64_t call_id);
Frame ResyncFrame();
Frame HeartbeatFrame();

}  // namespace im::gateway
