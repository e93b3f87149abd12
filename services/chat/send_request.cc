#include "services/chat/send_request.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <optional>
#include <string>

#include "common/base/error.h"
#include "common/base/text.h"
#include "im/chat/v1/messages.pb.h"

namespace im::chat {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Beside the text, fields that a newer client adds.
constexpr size_t kMaxContentBytes = kMaxTextBytes + 4096;
// Numbers of Content.kind that are kept for kinds of content.
constexpr int kLastKindField = 15;

// The fields of one message that we look for. Generated code would refuse text that is not UTF-8
// without saying so, and would not keep unknown fields in their place.
class Fields {
 public:
  explicit Fields(std::string_view bytes)
      : stream_(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(bytes.size())) {}

  // False at the end, or when the bytes are no message (see ok()).
  bool Next() {
    const uint32_t tag = stream_.ReadTag();
    if (tag == 0) {
      ok_ = stream_.ConsumedEntireMessage();
      return false;
    }
    number_ = WireFormatLite::GetTagFieldNumber(tag);
    type_ = WireFormatLite::GetTagWireType(tag);
    value_.clear();
    if (number_ == 0) {
      ok_ = false;
    } else if (type_ == WireFormatLite::WIRETYPE_VARINT) {
      ok_ = stream_.ReadVarint64(&varint_);
    } else if (type_ == WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      uint32_t length = 0;
      ok_ = stream_.ReadVarint32(&length) && stream_.ReadString(&value_, static_cast<int>(length));
    } else {
      // No groups: proto3 has none, and their depth counts against every receiver's limit.
      ok_ =
          type_ != WireFormatLite::WIRETYPE_START_GROUP && WireFormatLite::SkipField(&stream_, tag);
    }
    return ok_;
  }

  bool ok() const { return ok_; }
  bool IsVarint(int number) const {
    return number_ == number && type_ == WireFormatLite::WIRETYPE_VARINT;
  }
  bool IsBytes(int number) const {
    return number_ == number && type_ == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
  }
  int number() const { return number_; }
  uint64_t varint() const { return varint_; }
  std::string& value() { return value_; }

 private:
  CodedInputStream stream_;
  bool ok_ = true;
  int number_ = 0;
  WireFormatLite::WireType type_ = WireFormatLite::WIRETYPE_VARINT;
  uint64_t varint_ = 0;
  std::string value_;
};

absl::Status CheckText(std::string_view text) {
  std::optional<std::string> body;
  Fields fields(text);
  while (fields.Next()) {
    if (!fields.IsBytes(v1::Text::kBodyFieldNumber)) continue;
    if (body) return Error(Reason::MALFORMED_REQUEST, "content.text.body is given twice");
    body = std::move(fields.value());
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
  std::optional<std::string> text;
  bool unknown_kind = false;
  Fields fields(content);
  while (fields.Next()) {
    if (fields.number() > kLastKindField) continue;
    if (text || unknown_kind) {
      return Error(Reason::MALFORMED_REQUEST, "content holds more than one kind");
    }
    if (fields.IsBytes(v1::Content::kTextFieldNumber)) {
      text = std::move(fields.value());
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
      item.request_id = std::move(fields.value());
    } else if (fields.IsBytes(v1::SendMessageRequest::kContentFieldNumber)) {
      item.content = std::move(fields.value());
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
