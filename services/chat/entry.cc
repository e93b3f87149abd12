#include "services/chat/entry.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/time_util.h>
#include <google/protobuf/wire_format_lite.h>
#include <sodium.h>

#include <cstring>

#include "common/base/error.h"
#include "im/chat/v1/sync.pb.h"

namespace im::chat {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::util::TimeUtil;

void AppendVarint(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void AppendBytes(std::string* out, int field, std::string_view bytes) {
  AppendVarint(out, WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  AppendVarint(out, bytes.size());
  out->append(bytes);
}

v1::Entry WithoutBody(const Entry& entry) {
  v1::Entry proto;
  proto.set_conversation_id(entry.conversation_id);
  proto.set_seq(entry.seq);
  proto.set_sender_user_id(entry.sender);
  *proto.mutable_at() = TimeUtil::MicrosecondsToTimestamp(entry.at);
  proto.set_request_id(entry.request_id);
  proto.set_count(entry.count);
  return proto;
}

}  // namespace

std::string SerializeEntry(const Entry& entry) {
  std::string bytes = WithoutBody(entry).SerializeAsString();
  bytes.reserve(bytes.size() + entry.content.size() + 8);
  AppendBytes(&bytes, static_cast<int>(entry.kind), entry.content);
  return bytes;
}

std::string SerializeEntryEvent(const Entry& entry) {
  const std::string inner = SerializeEntry(entry);
  std::string bytes;
  bytes.reserve(inner.size() + 8);
  AppendBytes(&bytes, v1::Event::kEntryFieldNumber, inner);
  return bytes;
}

v1::Entry ToProto(const Entry& entry) {
  v1::Entry proto;
  // What was stored was parsed before; should it not parse any more, the frame stays.
  if (!proto.ParseFromString(SerializeEntry(entry))) return WithoutBody(entry);
  return proto;
}

std::string UuidFromBytes(std::string_view bytes) {
  std::string hex(33, '\0');
  sodium_bin2hex(hex.data(), hex.size(), reinterpret_cast<const unsigned char*>(bytes.data()), 16);
  hex.pop_back();
  return hex;
}

std::string BytesFromUuid(std::string_view uuid) {
  std::string bytes(16, '\0');
  size_t length = 0;
  sodium_hex2bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), uuid.data(),
                 uuid.size(), "-", &length, nullptr);
  return bytes;
}

absl::Status CheckRequestId(std::string_view request_id) {
  return request_id.size() == 16 ? absl::OkStatus() : Error(Reason::REQUEST_ID_INVALID);
}

int64_t HashRequest(std::string_view method, std::string_view request) {
  // A fixed key: the hash need not resist anyone but chance.
  static constexpr unsigned char kKey[crypto_shorthash_KEYBYTES] = {'i', 'm', '-', 'r', 'e', 'q'};
  std::string text(method);
  text.push_back('\0');
  text.append(request);
  unsigned char hash[crypto_shorthash_BYTES];
  crypto_shorthash(hash, reinterpret_cast<const unsigned char*>(text.data()), text.size(), kKey);
  int64_t number = 0;
  std::memcpy(&number, hash, sizeof number);
  return number;
}

}  // namespace im::chat
