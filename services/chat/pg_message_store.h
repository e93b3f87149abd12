// The writers' side of the database: states, appends, changes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/pg/pool.h"
#include "services/chat/conversation.h"
#include "services/chat/entry.h"

namespace im::chat {

// Entries decided in memory, to be stored together.
struct AppendBatch {
  struct Conversation {
    int64_t id = 0;
    // As remembered.
    int64_t last_seq = 0;
    int64_t version = 0;
    // Afterwards.
    int64_t new_seq = 0;
    int64_t new_count = 0;
  };
  // In rising id.
  std::vector<Conversation> conversations;
  // In rising seq within a conversation. `at` is filled in by Append.
  std::vector<Entry*> entries;
  // For each entry the join_seq of the sender's stay.
  std::vector<int64_t> join_seqs;
};

struct AppendResult {
  // All three empty: stored. Else nothing was.
  std::vector<int64_t> locked;  // conversations whose row somebody else holds
  std::vector<int64_t> stale;   // conversations that are not as remembered
  std::vector<size_t> known;    // elements of `entries` whose request id is stored already

  bool stored() const { return locked.empty() && stale.empty() && known.empty(); }
};

enum class ChangeOutcome { kStored, kStale, kKnown };

// Thread-safe as far as its pool is. One method, one transaction (of Append the last that it
// needs).
class PgMessageStore {
 public:
  explicit PgMessageStore(pg::Pool* pool) : pool_(pool) {}

  // Brings states up to date: those with version 0 are loaded whole, of others what changed since.
  // A conversation that does not exist gets id 0.
  absl::Status Refresh(const std::vector<ConversationState*>& states);

  // The state of a pair's direct conversation; id 0 if there is none yet.
  absl::StatusOr<ConversationState> LoadPair(int64_t one, int64_t other);
  absl::StatusOr<int64_t> OpenDirect(int64_t one, int64_t other);

  // `wait`: waits for locked rows, CONVERSATION_BUSY if that takes too long.
  absl::StatusOr<AppendResult> Append(const AppendBatch& batch, bool wait);

  // `entry` comes with sender, request_id and request_hash; the rest is filled in when stored.
  absl::StatusOr<ChangeOutcome> Change(const ConversationState& state, const ChangePlan& plan,
                                       Entry* entry);

  struct CreatedGroup {
    int64_t conversation_id = 0;
    bool repeated = false;
    // Of the first request.
    int64_t request_hash = 0;
  };
  absl::StatusOr<CreatedGroup> CreateGroup(int64_t founder, const std::string& request_id,
                                           int64_t request_hash, const std::string& title,
                                           bool open_history, const std::vector<int64_t>& members,
                                           const std::string& content);

  // Whether the user may know of the conversation; see chat.shows.
  absl::StatusOr<bool> Shows(int64_t user, int64_t conversation);

  // Whether a request that makes no entry of an existing conversation was answered before.
  absl::StatusOr<bool> IsAnswered(int64_t user, const std::string& request_id);

  // A change that there was nothing to do for. Its repetitions are answered so, too, for 24 hours,
  // whatever has changed since.
  absl::Status NoteNothingToDo(int64_t conversation, int64_t user, const std::string& request_id,
                               int64_t request_hash);
  absl::StatusOr<bool> HadNothingToDo(int64_t conversation, int64_t user,
                                      const std::string& request_id, int64_t request_hash);

  // An earlier entry of the same sender and request id.
  absl::StatusOr<std::optional<Entry>> FindEntry(int64_t conversation, int64_t sender,
                                                 const std::string& request_id);
  absl::StatusOr<std::optional<Entry>> FindEntryBySeq(int64_t conversation, int64_t seq);
  // The last stay of somebody, present or not.
  absl::StatusOr<std::optional<LastStay>> FindLastStay(int64_t conversation, int64_t user);

 private:
  // A batch of one, in a cheaper call; false: nothing was stored, Append says why.
  absl::StatusOr<bool> AppendOne(const AppendBatch& batch);

  pg::Pool* const pool_;
};

}  // namespace im::chat
