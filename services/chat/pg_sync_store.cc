#include "services/chat/pg_sync_store.h"

#include <algorithm>

namespace im::chat {
namespace {

// One join of the user's newest stays with their conversations, and of direct ones with the peer's
// watermark, unless one has blocked the other; without direct ones that hold nothing. LATERAL with
// LIMIT, so that no plan reads whole tables for it. Indexes: members_user, primary keys.
constexpr char kStates[] =
    "SELECT c.id, coalesce(m.end_seq, c.last_seq) AS last_seq, m.delivered_seq, "
    "       w.read_seq, w.delivered_seq "
    "FROM (SELECT DISTINCT ON (conversation_id) conversation_id, end_seq, end_at, delivered_seq "
    "      FROM chat.members WHERE user_id = $1 ORDER BY conversation_id, join_seq DESC) m "
    "CROSS JOIN LATERAL (SELECT * FROM chat.conversations x "
    "  WHERE x.id = m.conversation_id LIMIT 1) c "
    "LEFT JOIN LATERAL (SELECT * FROM chat.members x WHERE x.conversation_id = c.id "
    "  AND x.user_id = c.low_user_id + c.high_user_id - $1 AND x.join_seq = 0 LIMIT 1) w "
    "  ON c.kind = 1 AND w.user_id NOT IN (SELECT * FROM chat.blocked_with($1)) "
    "WHERE c.last_seq > 0 "
    "ORDER BY coalesce(m.end_at, c.last_at) DESC, c.id DESC";

// Within a conversation time rises with seq, so what was stored since is all from the first on.
// Index: entries_at.
constexpr char kStoredSince[] =
    "SELECT conversation_id, min(seq), max(seq) FROM chat.entries "
    "WHERE at >= 'epoch'::timestamptz + $1::bigint * interval '1 microsecond' "
    "GROUP BY conversation_id ORDER BY conversation_id";

// OFFSET 0, so that no plan reads the whole table. Index: the primary key.
constexpr char kStays[] =
    "SELECT m.conversation_id, m.user_id, m.join_seq, coalesce(m.end_seq, 9223372036854775807) "
    "FROM unnest($1::bigint[], $2::bigint[]) r (id, low) "
    "CROSS JOIN LATERAL (SELECT * FROM chat.members x WHERE x.conversation_id = r.id "
    "  AND (x.end_seq IS NULL OR x.end_seq >= r.low) OFFSET 0) m";

}  // namespace

absl::StatusOr<std::vector<Difference>> PgSyncStore::Compare(
    int64_t user, const std::vector<HaveConversation>& have, bool only_listed) const {
  return pool_->Read([&](pg::Session& session) {
    std::vector<Difference> differences;
    // Compared here rather than by another join: it would be planned without knowing how much a
    // device has.
    for (const pqxx::row& row : session.Exec(kStates, user)) {
      Difference difference;
      difference.have.id = row[0].as<int64_t>();
      const auto last_seq = row[1].as<int64_t>();
      const auto listed =
          std::lower_bound(have.begin(), have.end(), difference.have.id,
                           [](const HaveConversation& one, int64_t id) { return one.id < id; });
      if (listed != have.end() && listed->id == difference.have.id) {
        difference.listed = true;
        difference.have = *listed;
        difference.undelivered = std::min(listed->seq, last_seq) > row[2].as<int64_t>();
        difference.peer_watermark =
            !row[3].is_null() && (row[3].as<int64_t>() != listed->peer_read_seq ||
                                  row[4].as<int64_t>() != listed->peer_delivered_seq);
      } else if (only_listed) {
        continue;
      }
      difference.entries = last_seq > difference.have.seq;
      if (difference.entries || difference.undelivered || difference.peer_watermark) {
        differences.push_back(difference);
      }
    }
    return differences;
  });
}

absl::StatusOr<std::vector<StoredRange>> PgSyncStore::StoredSince(int64_t since) const {
  return pool_->Read([&](pg::Session& session) {
    std::vector<StoredRange> ranges;
    for (const pqxx::row& row : session.Exec(kStoredSince, since)) {
      ranges.push_back(
          {row[0].as<int64_t>(), SeqRange{row[1].as<int64_t>(), row[2].as<int64_t>()}});
    }
    return ranges;
  });
}

absl::StatusOr<std::vector<MemberStay>> PgSyncStore::FindStays(
    const std::vector<StoredRange>& ranges) const {
  std::vector<int64_t> ids, lows;
  for (const StoredRange& range : ranges) {
    ids.push_back(range.conversation_id);
    lows.push_back(range.seqs.from);
  }
  return pool_->Read([&](pg::Session& session) {
    std::vector<MemberStay> stays;
    for (const pqxx::row& row : session.Exec(kStays, pg::Array(ids), pg::Array(lows))) {
      stays.push_back(
          {row[0].as<int64_t>(), row[1].as<int64_t>(), row[2].as<int64_t>(), row[3].as<int64_t>()});
    }
    return stays;
  });
}

}  // namespace im::chat
