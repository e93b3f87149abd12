// Frames of clients: the gateway's own reading of the wire against Protobuf's. What Protobuf takes,
// the gateway takes, and sees the same in it.
#include "gateway/frame.h"
#include "gateway/route.h"
#include "gateway/wire.h"
#include "im/chat/v1/messages.pb.h"
#include "tests/fuzz/check.h"

namespace im::gateway {
namespace {

using fuzz::Check;

template <typename Message>
bool Parses(std::string_view bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// The known fields alone; what is in them stays.
template <typename Message>
std::string Known(Message message) {
  message.GetReflection()->MutableUnknownFields(&message)->Clear();
  return message.SerializeAsString();
}

// How many fields could be the frame.
int CountFrames(std::string_view bytes) {
  int count = 0;
  wire::Reader reader(bytes);
  wire::Field field;
  while (reader.Next(&field)) {
    count += field.type == wire::Type::kBytes && field.number >= kHelloFrame && field.number < 30;
  }
  return count;
}

void CheckFrame(std::string_view bytes) {
  const auto frame = ParseClientFrame(bytes);
  v1::ConnectRequest proto;
  if (!Parses(bytes, &proto)) return;
  Check(frame.has_value(), "what Protobuf takes is a frame");
  Check(frame->call_id == proto.call_id(), "the call id is Protobuf's");
  if (CountFrames(bytes) > 1 || proto.frame_case() == v1::ConnectRequest::FRAME_NOT_SET) return;
  Check(frame->number == static_cast<uint32_t>(proto.frame_case()), "the frame is Protobuf's");
  std::string again;
  wire::AppendVarintField(1, frame->call_id, &again);
  wire::AppendBytesField(frame->number, frame->body, &again);
  v1::ConnectRequest same;
  Check(Parses(again, &same) && Known(same) == Known(proto), "the frame's body is whole");
}

void CheckHello(std::string_view bytes) {
  const auto hello = ParseHello(bytes);
  v1::Hello proto;
  if (!Parses(bytes, &proto)) return;
  Check(hello.has_value() && hello->status == proto.status(), "the Hello is Protobuf's");
  chat::v1::Have have;
  Check(Parses(hello->have, &have), "the Have of a Hello is whole");
  Check(have.SerializeAsString() == proto.have().SerializeAsString(), "the Have is Protobuf's");
}

void CheckSubscribe(std::string_view bytes) {
  const auto hello = ParseSubscribeRequest(bytes);
  v1::SubscribeRequest proto;
  if (!Parses(bytes, &proto)) return;
  Check(hello.has_value(), "what Protobuf takes is a SubscribeRequest");
  v1::Hello same;
  Check(Parses(*hello, &same) && same.SerializeAsString() == proto.hello().SerializeAsString(),
        "the Hello of a SubscribeRequest is whole");
}

void CheckSync(std::string_view bytes) {
  const auto sync = ParseSyncRequest(bytes);
  v1::SyncDeviceRequest proto;
  if (!Parses(bytes, &proto)) return;
  Check(sync.has_value() && sync->session_id == proto.session_id(), "the session is Protobuf's");
  Check(sync->have.has_value() == proto.has_have(), "there is a Have as Protobuf says");
  chat::v1::Have have;
  Check(Parses(sync->have.value_or(""), &have), "the Have of a SyncDeviceRequest is whole");
  Check(have.SerializeAsString() == proto.have().SerializeAsString(), "the Have is Protobuf's");
}

// What the route and a session's calls are steered by.
void CheckConversation(std::string_view bytes) {
  const auto conversation = wire::FindVarint(bytes, 1);
  chat::v1::MarkReadRequest proto;
  if (!Parses(bytes, &proto)) return;
  Check(static_cast<int64_t>(conversation.value_or(0)) == proto.conversation_id(),
        "the conversation is Protobuf's");
}

void CheckWriting(std::string_view bytes) {
  wire::Reader reader(bytes);
  wire::Field field;
  while (reader.Next(&field)) {
    std::string out;
    if (field.type == wire::Type::kVarint) {
      wire::AppendVarintField(field.number, field.varint, &out);
    } else if (field.type == wire::Type::kBytes) {
      wire::AppendBytesField(field.number, field.bytes, &out);
      Check(out.size() == wire::BytesFieldSize(field.number, field.bytes.size()),
            "a field is as long as was said");
    } else {
      continue;
    }
    wire::Reader again(out);
    wire::Field same;
    Check(again.Next(&same) && same.number == field.number && same.type == field.type &&
              same.varint == field.varint && same.bytes == field.bytes,
          "a field that is written is read as it was");
    Check(!again.Next(&same) && again.ok(), "and nothing behind it");
  }
}

void CheckAnswer(std::string_view bytes) {
  const auto frame = ParseClientFrame(bytes);
  if (!frame || frame->number == 0) return;
  const Frame answer = FailureFrame(frame->call_id, absl::InternalError(""));
  v1::ConnectResponse response;
  Check(response.ParseFromArray(answer.slice().begin(), static_cast<int>(answer.size())) &&
            response.frame().answer().has_failure() &&
            response.frame().answer().call_id() == frame->call_id,
        "an answer is of its call");
}

void CheckPath(std::string_view bytes) {
  const std::string path(bytes);
  const std::string package = PackageOf(path);
  if (package.empty()) return;
  Check(path.compare(0, package.size() + 2, "/" + package + ".") == 0 &&
            path.find('/', 1) != std::string::npos && package.find('/') == std::string::npos,
        "a package is the first part of its path");
}

}  // namespace
}  // namespace im::gateway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = im::fuzz::Bytes(data, size);
  im::gateway::CheckFrame(bytes);
  im::gateway::CheckHello(bytes);
  im::gateway::CheckSubscribe(bytes);
  im::gateway::CheckSync(bytes);
  im::gateway::CheckConversation(bytes);
  im::gateway::CheckWriting(bytes);
  im::gateway::CheckAnswer(bytes);
  im::gateway::CheckPath(bytes);
  return 0;
}
