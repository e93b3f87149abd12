// What resumes and catch-ups ask of PostgreSQL.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/pg/pool.h"
#include "services/chat/have.h"
#include "services/chat/history.h"

namespace im::chat {

// A conversation of which a device lacks something.
struct Difference {
  // Of a conversation that the device does not have: zeros.
  HaveConversation have;
  bool listed = false;
  // The device may say it has more than was noted as delivered.
  bool undelivered = false;
  // Entries or a stay are missing. Else: the peer's watermark, if anything.
  bool entries = false;
  // Of direct conversations: the peer's watermark, if the device's is another.
  bool peer_watermark = false;
};

// Of a conversation: the entries that were stored since some time.
struct StoredRange {
  int64_t conversation_id = 0;
  SeqRange seqs;
};

// A stay of a member, with the time they were told live.
struct MemberStay {
  int64_t conversation_id = 0;
  int64_t user_id = 0;
  int64_t join_seq = 0;
  // INT64_MAX while it lasts.
  int64_t end_seq = 0;
};

// Thread-safe as far as its pool is; calls block.
class PgSyncStore {
 public:
  explicit PgSyncStore(pg::Pool* pool) : pool_(pool) {}

  // The user's conversations that differ from what a device has, the newest first. What is in
  // `have` of others' conversations is ignored. `have`: in rising id, each once.
  absl::StatusOr<std::vector<Difference>> Compare(int64_t user,
                                                  const std::vector<HaveConversation>& have,
                                                  bool only_listed) const;

  // In rising conversation id.
  absl::StatusOr<std::vector<StoredRange>> StoredSince(int64_t since) const;
  // Stays in these conversations that reach into the ranges.
  absl::StatusOr<std::vector<MemberStay>> FindStays(const std::vector<StoredRange>& ranges) const;

 private:
  pg::Pool* const pool_;
};

}  // namespace im::chat
