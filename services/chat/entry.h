// Entries as the domain and the store know them, and their form on the wire.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "im/chat/v1/entries.pb.h"

namespace im::chat {

// The number of the field of im.chat.v1.Entry.body that says what happened.
enum class EntryKind : int {
  kMessage = v1::Entry::kMessageFieldNumber,
  kGroupCreated = v1::Entry::kGroupCreatedFieldNumber,
  kMembersAdded = v1::Entry::kMembersAddedFieldNumber,
  kMemberRemoved = v1::Entry::kMemberRemovedFieldNumber,
  kMemberLeft = v1::Entry::kMemberLeftFieldNumber,
  kMemberReturned = v1::Entry::kMemberReturnedFieldNumber,
  kGroupRenamed = v1::Entry::kGroupRenamedFieldNumber,
};

// Whether entries of the kind count as unread.
inline bool IsCountable(EntryKind kind) { return kind == EntryKind::kMessage; }

struct Entry {
  int64_t conversation_id = 0;
  int64_t seq = 0;
  int64_t sender = 0;
  // Microseconds since 1970.
  int64_t at = 0;
  // 16 bytes.
  std::string request_id;
  int64_t request_hash = 0;
  EntryKind kind = EntryKind::kMessage;
  // The serialised message of that field: the client's own bytes.
  std::string content;
  // The running count of countable entries.
  int64_t count = 0;
};

// im.chat.v1.Entry, with the content's bytes as they are.
std::string SerializeEntry(const Entry& entry);
// im.chat.v1.Event{entry}.
std::string SerializeEntryEvent(const Entry& entry);
v1::Entry ToProto(const Entry& entry);

// Request ids are columns of type uuid. `bytes` must be 16 bytes.
std::string UuidFromBytes(std::string_view bytes);
std::string BytesFromUuid(std::string_view uuid);

// REQUEST_ID_INVALID unless it is 16 bytes.
absl::Status CheckRequestId(std::string_view request_id);

// 64 bits of a hash, to tell whether a repeated request id comes with the same request. `method`
// sets requests of different methods apart.
int64_t HashRequest(std::string_view method, std::string_view request);

}  // namespace im::chat
