// What a person may read: their stays, and their conversations as they see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "im/chat/v1/conversations.pb.h"
#include "services/chat/entry.h"

namespace im::chat {

// A time somebody was a member; see im.chat.v1.Stay.
struct Stay {
  int64_t join_seq = 0;
  int64_t first_seq = 0;
  // Absent while it lasts.
  std::optional<int64_t> end_seq;
};

// Entries from one seq to another, both included. Since seq is dense it has to - from + 1 entries.
struct SeqRange {
  int64_t from = 0;
  int64_t to = 0;

  int64_t size() const { return to - from + 1; }
  friend bool operator==(const SeqRange&, const SeqRange&) = default;
};

// What stays show, as ranges that are disjoint and rise; a stay that lasts ends at last_seq. Stays
// overlap where a group shows its history to those who come back.
std::vector<SeqRange> VisibleRanges(const std::vector<Stay>& stays, int64_t last_seq);
// The part of rising ranges within [from, to].
std::vector<SeqRange> Clip(const std::vector<SeqRange>& ranges, int64_t from, int64_t to);
int64_t CountEntries(const std::vector<SeqRange>& ranges);
// The first and the last `count` entries of rising ranges; all if there are fewer.
std::vector<SeqRange> Oldest(const std::vector<SeqRange>& ranges, int64_t count);
std::vector<SeqRange> Newest(const std::vector<SeqRange>& ranges, int64_t count);

struct Watermark {
  int64_t user_id = 0;
  int64_t read_seq = 0;
  int64_t delivered_seq = 0;
};
v1::Watermark ToProto(const Watermark& watermark);

// Those of a view are the last of the member's stays, at most this many.
inline constexpr int kMaxStays = 100;

// A conversation as one person sees it; see im.chat.v1.Conversation.
struct ConversationView {
  int64_t id = 0;
  v1::ConversationKind kind = v1::CONVERSATION_KIND_UNSPECIFIED;
  // For who has left: as it was then.
  std::string title;
  int64_t peer = 0;
  int64_t last_seq = 0;
  int64_t last_at = 0;
  int64_t unread = 0;
  int64_t read_seq = 0;
  v1::Role role = v1::ROLE_UNSPECIFIED;
  int member_count = 0;
  std::optional<Watermark> peer_watermark;
  // Oldest first; never empty.
  std::vector<Stay> stays;
  // The end of the newest stay that kMaxStays left out; 0: none was.
  int64_t omitted_end_seq = 0;
  std::optional<Entry> last_entry;
};
v1::Conversation ToProto(const ConversationView& view);

struct PresentMember {
  int64_t user_id = 0;
  v1::Role role = v1::ROLE_UNSPECIFIED;
  int64_t join_seq = 0;
};

// Where a page of the list of conversations begins: after this one.
struct ListPlace {
  int64_t last_at = 0;
  int64_t conversation_id = 0;
};

// A page of entries: the `limit` nearest ones with before > seq, the newest first to be chosen, or,
// if `forward`, those with after < seq <= to, the oldest first.
struct EntriesQuery {
  bool forward = false;
  int64_t before = INT64_MAX;
  int64_t after = 0;
  int64_t to = INT64_MAX;
  int limit = 50;
};

struct EntriesPage {
  // In rising seq.
  std::vector<Entry> entries;
  // Whether there are more in the query's direction.
  bool more = false;
};

}  // namespace im::chat
