// SendMessageRequest, whose content is stored and handed on as the client's own bytes: what is let
// through, every receiver takes, and what a client may send is let through.
#include "services/chat/send_request.h"

#include <google/protobuf/stubs/logging.h>

#include "common/base/error.h"
#include "common/base/text.h"
#include "im/chat/v1/messages.pb.h"
#include "im/chat/v1/sync.pb.h"
#include "services/chat/entry.h"
#include "tests/fuzz/check.h"

namespace im::chat {
namespace {

using fuzz::Check;

void CheckTaken(const SendItem& item) {
  Check(item.request_id.size() == 16, "a request id has 16 bytes");
  v1::Content content;
  Check(content.ParseFromString(item.content), "a content is one for Protobuf");
  Check(content.has_text() && !content.text().body().empty(), "a content has a text");
  Check(content.text().body().size() <= kMaxTextBytes, "a text is not too long");
  Check(IsText(content.text().body()), "a text is text");

  // As it goes to receivers.
  Entry entry;
  entry.conversation_id = item.conversation_id;
  entry.seq = 1;
  entry.sender = 2;
  entry.request_id = item.request_id;
  entry.content = item.content;
  v1::Event event;
  Check(event.ParseFromString(SerializeEntryEvent(entry)), "its event is one for Protobuf");
  Check(event.entry().conversation_id() == item.conversation_id && event.entry().seq() == 1 &&
            event.entry().sender_user_id() == 2 && event.entry().request_id() == item.request_id,
        "nothing in a content changes the entry around it");
  Check(event.entry().message().SerializeAsString() == content.SerializeAsString(),
        "the event carries the content");
  Check(ToProto(entry).has_message(), "an entry is read back whole");
}

// Whether it is a request as a client of this version makes them.
bool IsGood(const v1::SendMessageRequest& request, std::string_view bytes) {
  const std::string& body = request.content().text().body();
  return request.SerializeAsString() == bytes && request.request_id().size() == 16 &&
         !body.empty() && body.size() <= kMaxTextBytes && IsText(body);
}

bool HasUnknownKind(const v1::Content& content) {
  const auto& fields = content.GetReflection()->GetUnknownFields(content);
  for (int i = 0; i < fields.field_count(); ++i) {
    if (fields.field(i).number() <= 15) return true;
  }
  return false;
}

bool HasGroups(const google::protobuf::Message& message) {
  const auto& fields = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < fields.field_count(); ++i) {
    if (fields.field(i).type() == google::protobuf::UnknownField::TYPE_GROUP) return true;
  }
  return false;
}

}  // namespace
}  // namespace im::chat

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace im::chat;  // NOLINT: one function
  // Text that is not UTF-8 is worth a line on stderr to Protobuf.
  [[maybe_unused]] static auto* const silent = google::protobuf::SetLogHandler(nullptr);
  const std::string_view bytes = im::fuzz::Bytes(data, size);
  const auto item = ParseSendRequest(bytes);
  if (item.ok()) {
    CheckTaken(*item);
    return 0;
  }
  im::fuzz::Check(im::ReasonOf(item.status()).has_value(), "a refusal has its reason");
  v1::SendMessageRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size)) || !IsGood(request, bytes)) return 0;
  // What a newer client may add is refused for these alone.
  im::fuzz::Check(HasUnknownKind(request.content()) || HasGroups(request) ||
                      HasGroups(request.content()) || HasGroups(request.content().text()) ||
                      request.content().ByteSizeLong() > kMaxTextBytes + 4096,
                  "a good request is let through");
  return 0;
}
