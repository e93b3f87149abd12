#include "gateway/frame.h"

#include "common/base/error.h"
#include "common/rpc/status.h"
#include "gateway/wire.h"

namespace im::gateway {
namespace {

constexpr uint32_t kAnswer = 2;
constexpr uint32_t kResync = 6;
constexpr uint32_t kHeartbeat = 7;
constexpr uint32_t kFrame = 1;    // in ConnectResponse and SubscribeResponse
constexpr uint32_t kCallId = 1;   // in ConnectRequest and Answer
constexpr uint32_t kFailure = 2;  // in Answer

Frame Framed(uint32_t number, std::string_view body) {
  std::string bytes;
  const size_t inner = wire::BytesFieldSize(number, body.size());
  bytes.reserve(wire::BytesFieldSize(kFrame, inner));
  wire::AppendVarint(kFrame << 3 | 2, &bytes);
  wire::AppendVarint(inner, &bytes);
  wire::AppendBytesField(number, body, &bytes);
  return Frame(bytes);
}

}  // namespace

std::optional<ClientFrame> ParseClientFrame(std::string_view bytes) {
  ClientFrame frame;
  wire::Reader reader(bytes);
  wire::Field field;
  while (reader.Next(&field)) {
    if (field.number == kCallId && field.type == wire::Type::kVarint) {
      frame.call_id = field.varint;
    } else if (field.type == wire::Type::kBytes &&
               ((field.number >= kHelloFrame && field.number <= kRefreshTokenFrame) ||
                IsChatFrame(field.number) || IsPresenceFrame(field.number))) {
      frame.number = field.number;
      frame.body = field.bytes;
    }
  }
  if (!reader.ok()) return std::nullopt;
  return frame;
}

std::optional<ClientHello> ParseHello(std::string_view bytes) {
  constexpr uint32_t kHave = 1;
  constexpr uint32_t kStatus = 2;
  ClientHello hello;
  wire::Reader reader(bytes);
  wire::Field field;
  while (reader.Next(&field)) {
    // Twice the same submessage means both together, which is how bytes in a row read.
    if (field.number == kHave && field.type == wire::Type::kBytes) hello.have += field.bytes;
    if (field.number == kStatus && field.type == wire::Type::kVarint) {
      hello.status = static_cast<int>(field.varint);
    }
  }
  if (!reader.ok()) return std::nullopt;
  return hello;
}

std::optional<std::string> ParseSubscribeRequest(std::string_view bytes) {
  constexpr uint32_t kHello = 1;
  std::string hello;
  wire::Reader reader(bytes);
  wire::Field field;
  while (reader.Next(&field)) {
    if (field.number == kHello && field.type == wire::Type::kBytes) hello += field.bytes;
  }
  if (!reader.ok()) return std::nullopt;
  return hello;
}

std::optional<SyncRequest> ParseSyncRequest(std::string_view bytes) {
  constexpr uint32_t kSessionId = 1;
  constexpr uint32_t kHave = 2;
  SyncRequest request;
  wire::Reader reader(bytes);
  wire::Field field;
  while (reader.Next(&field)) {
    if (field.type != wire::Type::kBytes) continue;
    if (field.number == kSessionId) request.session_id = std::string(field.bytes);
    if (field.number == kHave) {
      request.have = request.have.value_or(std::string()) + std::string(field.bytes);
    }
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

Frame MakeFrame(const v1::ServerFrame& frame) {
  std::string bytes;
  wire::AppendBytesField(kFrame, frame.SerializeAsString(), &bytes);
  return Frame(bytes);
}

Frame EventFrame(uint32_t number, std::string_view event) { return Framed(number, event); }

Frame AnswerFrame(uint64_t call_id, uint32_t number, std::string_view response) {
  std::string answer;
  wire::AppendVarintField(kCallId, call_id, &answer);
  wire::AppendBytesField(number, response, &answer);
  return Framed(kAnswer, answer);
}

Frame FailureFrame(uint64_t call_id, const common::v1::Failure& failure) {
  return AnswerFrame(call_id, kFailure, failure.SerializeAsString());
}

Frame FailureFrame(uint64_t call_id, const absl::Status& status) {
  return FailureFrame(call_id, rpc::ToFailure(status));
}

Frame OverloadedFrame(uint64_t call_id) {
  // Made once, since it is said the more often the less time there is.
  static const std::string failure =
      rpc::ToFailure(Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::milliseconds(500)}))
          .SerializeAsString();
  return AnswerFrame(call_id, kFailure, failure);
}

Frame ResyncFrame() {
  static const Frame frame = Framed(kResync, {});
  return frame;
}

Frame HeartbeatFrame() {
  static const Frame frame = Framed(kHeartbeat, {});
  return frame;
}

}  // namespace im::gateway
