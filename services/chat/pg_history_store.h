// The read side of conversations, members and entries in PostgreSQL.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/pg/pool.h"
#include "services/chat/history.h"

namespace im::chat {

// Entries of one conversation to read.
struct EntryRange {
  int64_t conversation_id = 0;
  SeqRange seqs;
};

// Thread-safe as far as its pool is; calls block. Whoever asks for a conversation they never were
// in gets CONVERSATION_NOT_FOUND. The cost of a page does not depend on how much was said.
class PgHistoryStore {
 public:
  explicit PgHistoryStore(pg::Pool* pool) : pool_(pool) {}

  // With its last entry. Left ones too.
  absl::StatusOr<ConversationView> GetConversation(int64_t user, int64_t conversation) const;
  // The newest first, with their last entries; without direct ones that hold nothing.
  absl::StatusOr<std::vector<ConversationView>> ListConversations(
      int64_t user, const std::optional<ListPlace>& after, int limit) const;
  // Those of `conversations` the user is or was in, in any order, without last entries.
  absl::StatusOr<std::vector<ConversationView>> FindConversations(
      int64_t user, const std::vector<int64_t>& conversations) const;

  // In rising user id; NOT_A_MEMBER for who has left.
  absl::StatusOr<std::vector<PresentMember>> ListMembers(int64_t user, int64_t conversation,
                                                         int64_t after_user, int limit) const;
  absl::StatusOr<std::vector<Watermark>> ListWatermarks(int64_t user, int64_t conversation,
                                                        int64_t after_user, int limit) const;

  // Entries inside the user's stays.
  absl::StatusOr<EntriesPage> ListEntries(int64_t user, int64_t conversation,
                                          const EntriesQuery& query) const;

  // The entries of ranges, in the order of the ranges and of seq, up to the one that brings their
  // contents to max_bytes: fewer than the ranges hold means that it was reached. Who may see them
  // is for the caller to know.
  absl::StatusOr<std::vector<Entry>> ReadEntries(const std::vector<EntryRange>& ranges,
                                                 int64_t max_bytes) const;

 private:
  absl::Status CheckPresent(int64_t user, int64_t conversation) const;

  pg::Pool* const pool_;
};

}  // namespace im::chat
