#include "services/chat/send_request.h"

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/error.h"
#include "common/base/text.h"
#include "im/chat/v1/messages.pb.h"

namespace im::chat {
namespace {

// Beside the text, fields that a newer client adds.
constexpr size_t kMaxContentBytes = kMaxTextBytes + 4096;
// Numbers of Content.kind that are kept for kinds of content.
constexpr int kLastKindField = 15;

// The fields of one message that we look for. Generated code would refuse text that is not UTF-8
// without saying so, and would not keep unknown fields in their place.
//
// Stricter than any parser that receives the bytes: these differ in what they make of numbers that
// are longer than need be (Protobuf's own parser in C++ takes no length in more than five bytes,
// others no number that overflows).
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  // False at the end, or when the bytes are no message (see ok()).
  bool Next() {
    if (rest_.empty()) return false;
    ok_ = ReadField();
    return ok_;
  }

  bool ok() const { return ok_; }
  bool IsVarint(int number) const { return number_ == number && type_ == kVarint; }
  bool IsBytes(int number) const { return number_ == number && type_ == kBytes; }
  int number() const { return number_; }
  uint64_t varint() const { return varint_; }
  std::string_view value() const { return value_; }

 private:
  // No groups: proto3 has none, and their depth counts against every receiver's limit.
  enum Type : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  bool ReadField() {
    uint64_t tag = 0;
    if (!ReadNumber(5, &tag) || tag > UINT32_MAX || tag >> 3 == 0) return false;
    number_ = static_cast<int>(tag >> 3);
    type_ = static_cast<uint32_t>(tag & 7);
    value_ = {};
    uint64_t length = 0;
    switch (type_) {
      case kVarint:
        return ReadNumber(10, &varint_);
      case kBytes:
        return ReadNumber(5, &length) && ReadBytes(length);
      case kFixed64:
        return ReadBytes(8);
      case kFixed32:
        return ReadBytes(4);
      default:
        return false;
    }
  }

  bool ReadNumber(int most_bytes, uint64_t* number) {
    *number = 0;
    for (int i = 0; i < most_bytes && !rest_.empty(); ++i) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      *number |= uint64_t{byte & 0x7fu} << (7 * i);
      // Of the tenth byte there is room for one bit.
      if (byte < 0x80) return i < 9 || byte <= 1;
    }
    return false;
  }

  bool ReadBytes(uint64_t length) {
    if (length > rest_.size()) return false;
    value_ = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
  }

  std::string_view rest_;
  bool ok_ = true;
  int number_ = 0;
  uint32_t type_ = kVarint;
  uint64_t varint_ = 0;
  std::string_view value_;
};

absl::Status CheckText(std::string_view text) {
  std::optional<std::string_view> body;
  Fields fields(text);
  while (fields.Next()) {
    if (!fields.IsBytes(v1::Text::kBodyFieldNumber)) continue;
    if (body) return Error(Reason::MALFORMED_REQUEST, "content.text.body is given twice");
    body = fields.value();
  }
  if (!fields.ok()) return Error(Reason::MALFORMED_REQUEST, "content.text is no message");
  if (!body || body->empty()) return Error(Reason::TEXT_EMPTY);
  if (body->size() > kMaxTextBytes) return Error(Reason::TEXT_TOO_LONG);
  if (!IsText(*body)) return Error(Reason::TEXT_INVALID);
  return absl::OkStatus();
}

// These bytes are stored and handed on as they are. So what is let through here must be good for
// the parser of every receiver: one that does not take it would break its stream again and again.
absl::Status CheckContent(std::string_view content) {
  std::optional<std::string_view> text;
  bool unknown_kind = false;
  Fields fields(content);
  while (fields.Next()) {
    if (fields.number() > kLastKindField) continue;
    if (text || unknown_kind) {
      return Error(Reason::MALFORMED_REQUEST, "content holds more than one kind");
    }
    if (fields.IsBytes(v1::Content::kTextFieldNumber)) {
      text = fields.value();
    } else {
      unknown_kind = true;
    }
  }
  if (!fields.ok()) return Error(Reason::MALFORMED_REQUEST, "content is no message");
  if (unknown_kind) return Error(Reason::UNSUPPORTED_CONTENT);
  if (!text) return Error(Reason::CONTENT_MISSING);
  IM_RETURN_IF_ERROR(CheckText(*text));
  if (content.size() > kMaxContentBytes) return Error(Reason::REQUEST_TOO_LARGE);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SendItem> ParseSendRequest(std::string_view bytes) {
  SendItem item;
  bool has_content = false;
  Fields fields(bytes);
  while (fields.Next()) {
    if (fields.IsVarint(v1::SendMessageRequest::kConversationIdFieldNumber)) {
      item.conversation_id = static_cast<int64_t>(fields.varint());
    } else if (fields.IsBytes(v1::SendMessageRequest::kRequestIdFieldNumber)) {
      item.request_id = std::string(fields.value());
    } else if (fields.IsBytes(v1::SendMessageRequest::kContentFieldNumber)) {
      item.content = std::string(fields.value());
      has_content = true;
    }
  }
  if (!fields.ok()) return Error(Reason::MALFORMED_REQUEST, "not a SendMessageRequest");
  IM_RETURN_IF_ERROR(CheckRequestId(item.request_id));
  if (!has_content) return Error(Reason::CONTENT_MISSING);
  IM_RETURN_IF_ERROR(CheckContent(item.content));
  item.request_hash =
      HashRequest("SendMessage", std::to_string(item.conversation_id) + '/' + item.content);
  return item;
}

}  // namespace im::chat
