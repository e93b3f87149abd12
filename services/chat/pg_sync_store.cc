#include "services/chat/pg_sync_store.h"

namespace im::chat {
namespace {

// One join of the user's newest stays with their conversations and what the device has. Direct
// conversations that hold nothing are no difference. Indexes: members_user, primary keys.
constexpr char kCompare[] =
    "SELECT d.id, coalesce(d.seq, 0), coalesce(d.peer_read, 0), coalesce(d.peer_delivered, 0), "
    "       d.undelivered, d.entries, d.watermark, "
    "       d.listed "
    "FROM (SELECT c.id, h.id IS NOT NULL AS listed, h.seq, h.peer_read, h.peer_delivered, "
    "             coalesce(m.end_at, c.last_at) AS at, "
    "             coalesce(least(h.seq, coalesce(m.end_seq, c.last_seq)) > m.delivered_seq, false) "
    "               AS undelivered, "
    "             coalesce(m.end_seq, c.last_seq) > coalesce(h.seq, 0) "
    "               AND (h.id IS NOT NULL OR NOT $6::boolean) AS entries, "
    "             h.id IS NOT NULL AND c.kind = 1 AND (coalesce(w.read_seq, 0) <> h.peer_read "
    "               OR coalesce(w.delivered_seq, 0) <> h.peer_delivered) AS watermark "
    "      FROM (SELECT DISTINCT ON (conversation_id) conversation_id, end_seq, end_at, "
    "delivered_seq "
    "            FROM chat.members WHERE user_id = $1 ORDER BY conversation_id, join_seq DESC) m "
    "      JOIN chat.conversations c ON c.id = m.conversation_id "
    "      LEFT JOIN unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) "
    "        AS h (id, seq, peer_read, peer_delivered) ON h.id = c.id "
    "      LEFT JOIN chat.members w ON c.kind = 1 AND w.conversation_id = c.id "
    "        AND w.user_id = c.low_user_id + c.high_user_id - $1 AND w.join_seq = 0) d "
    "WHERE d.undelivered OR d.entries OR d.watermark "
    "ORDER BY d.at DESC, d.id DESC";

// Within a conversation time rises with seq, so what was stored since is all from the first on.
// Index: entries_at.
constexpr char kStoredSince[] =
    "SELECT conversation_id, min(seq), max(seq) FROM chat.entries "
    "WHERE at >= 'epoch'::timestamptz + $1::bigint * interval '1 microsecond' "
    "GROUP BY conversation_id ORDER BY conversation_id";

// Index: the primary key.
constexpr char kStays[] =
    "SELECT m.conversation_id, m.user_id, m.join_seq, coalesce(m.end_seq, 9223372036854775807) "
    "FROM unnest($1::bigint[], $2::bigint[]) r (id, low) "
    "JOIN chat.members m ON m.conversation_id = r.id AND (m.end_seq IS NULL OR m.end_seq >= r.low)";

}  // namespace

absl::StatusOr<std::vector<Difference>> PgSyncStore::Compare(
    int64_t user, const std::vector<HaveConversation>& have, bool only_listed) const {
  std::vector<int64_t> ids, seqs, reads, delivereds;
  for (const HaveConversation& one : have) {
    ids.push_back(one.id);
    seqs.push_back(one.seq);
    reads.push_back(one.peer_read_seq);
    delivereds.push_back(one.peer_delivered_seq);
  }
  return pool_->Read([&](pg::Session& session) {
    std::vector<Difference> differences;
    for (const pqxx::row& row :
         session.Exec(kCompare, user, pg::Array(ids), pg::Array(seqs), pg::Array(reads),
                      pg::Array(delivereds), only_listed)) {
      Difference& difference = differences.emplace_back();
      difference.have = {row[0].as<int64_t>(), row[1].as<int64_t>(), row[2].as<int64_t>(),
                         row[3].as<int64_t>()};
      difference.undelivered = row[4].as<bool>();
      difference.entries = row[5].as<bool>();
      difference.peer_watermark = row[6].as<bool>();
      difference.listed = row[7].as<bool>();
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
