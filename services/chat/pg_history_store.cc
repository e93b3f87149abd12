#include "services/chat/pg_history_store.h"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"

namespace im::chat {
namespace {

// What all views are made of. PAGE selects, of some of the conversations of user $1, the rows of
// their newest stays `m` and of themselves `c`. A group's title for who has left is that of the
// last entry they may see which gave it one. LATERAL with LIMIT, so that no plan reads whole
// tables. Indexes: primary keys, members_present, entries_titles.
#define IM_CONVERSATION                                                                          \
  "CROSS JOIN LATERAL (SELECT * FROM chat.conversations x WHERE x.id = m.conversation_id LIMIT " \
  "1) c"
#define IM_VIEW_FIELDS                                                                       \
  "SELECT c.id, c.kind, c.title, coalesce(c.low_user_id + c.high_user_id - $1, 0) AS peer, " \
  "       coalesce(m.end_seq, c.last_seq) AS last_seq, m.read_seq, "                         \
  "       coalesce(m.end_count, c.last_count) - m.read_count AS unread, "                    \
  "       coalesce(m.end_at, c.last_at) AS last_at, m.end_seq IS NULL AS present, m.role "
#define IM_VIEW(ENTRY_COLUMNS, PAGE, ENTRY_JOIN)                                                \
  "WITH page AS (" PAGE                                                                         \
  ") "                                                                                          \
  "SELECT p.id, p.kind, p.title, p.peer, p.last_seq, p.read_seq, p.unread, p.present, p.role, " \
  "       (extract(epoch FROM p.last_at) * 1000000)::bigint AS last_at_micros, "                \
  "       w.read_seq AS peer_read_seq, w.delivered_seq AS peer_delivered_seq, "                 \
  "       s.stays, n.members, t.kind AS title_kind, t.content AS title_content " ENTRY_COLUMNS  \
  "FROM page p "                                                                                \
  "LEFT JOIN LATERAL (SELECT x.read_seq, x.delivered_seq FROM chat.members x "                  \
  "  WHERE x.conversation_id = p.id AND x.user_id = p.peer AND x.join_seq = 0 LIMIT 1) w "      \
  "  ON p.kind = 1 AND p.peer NOT IN (SELECT * FROM chat.blocked_with($1)) "                    \
  "CROSS JOIN LATERAL (SELECT string_agg(l.join_seq || ',' || l.first_seq || ',' || "           \
  "    coalesce(l.end_seq, 0), ',' ORDER BY l.join_seq) AS stays "                              \
  "  FROM (SELECT x.join_seq, x.first_seq, x.end_seq FROM chat.members x "                      \
  "        WHERE x.conversation_id = p.id AND x.user_id = $1 "                                  \
  "        ORDER BY x.join_seq DESC LIMIT 101) l) s "                                           \
  "LEFT JOIN LATERAL (SELECT count(*) AS members FROM chat.members x "                          \
  "  WHERE x.conversation_id = p.id AND x.end_seq IS NULL) n ON p.present "                     \
  "LEFT JOIN LATERAL (SELECT x.kind, x.content FROM chat.entries x "                            \
  "  WHERE x.conversation_id = p.id AND x.kind IN (11, 16) AND x.seq <= p.last_seq "            \
  "  ORDER BY x.seq DESC LIMIT 1) t ON NOT p.present " ENTRY_JOIN                               \
  "ORDER BY p.last_at DESC, p.id DESC"

#define IM_ENTRY_COLUMNS                                                             \
  "e.conversation_id, e.seq, e.sender_user_id, "                                     \
  "(extract(epoch FROM e.at) * 1000000)::bigint AS at_micros, e.request_id, e.kind " \
  "AS entry_kind, e.content, e.count "
#define IM_LAST_ENTRY "LEFT JOIN chat.entries e ON e.conversation_id = p.id AND e.seq = p.last_seq "

static_assert(kMaxStays == 100, "the views' LIMIT is one more");
static_assert(static_cast<int>(EntryKind::kGroupCreated) == 11 &&
                  static_cast<int>(EntryKind::kGroupRenamed) == 16,
              "the views' kinds of entries that give a title");

constexpr char kGet[] =
    IM_VIEW(", " IM_ENTRY_COLUMNS,
            IM_VIEW_FIELDS
            "FROM (SELECT * FROM chat.members WHERE conversation_id = $2 AND user_id = $1 "
            "      ORDER BY join_seq DESC LIMIT 1) m " IM_CONVERSATION " WHERE chat.shows($1, $2)",
            IM_LAST_ENTRY);

// All of the user's conversations are looked at for each page, but only the page's are filled in.
// Index: members_user.
constexpr char kList[] = IM_VIEW(
    ", " IM_ENTRY_COLUMNS,
    "SELECT * FROM (" IM_VIEW_FIELDS
    "  FROM (SELECT DISTINCT ON (conversation_id) * FROM chat.members WHERE user_id = $1 "
    "        ORDER BY conversation_id, join_seq DESC) m "
    "  " IM_CONVERSATION
    ") v "
    "WHERE v.last_seq > 0 AND "
    "  ((extract(epoch FROM v.last_at) * 1000000)::bigint, v.id) < ($2::bigint, $3::bigint) "
    "ORDER BY v.last_at DESC, v.id DESC LIMIT $4",
    IM_LAST_ENTRY);

// OFFSET 0 hides how many there are from the planner. Else a plan for one looks cheaper than one
// for any number, and each call is planned anew, which costs three times as much as the call.
constexpr char kFind[] = IM_VIEW("",
                                 IM_VIEW_FIELDS
                                 "FROM (SELECT $2::bigint[] AS ids OFFSET 0) a "
                                 "CROSS JOIN LATERAL unnest(a.ids) i (id) "
                                 "CROSS JOIN LATERAL (SELECT * FROM chat.members "
                                 "  WHERE conversation_id = i.id AND user_id = $1 ORDER BY "
                                 "join_seq DESC LIMIT 1) m " IM_CONVERSATION,
                                 "");

// Index: members_present.
constexpr char kMembers[] =
    "SELECT m.user_id, m.role, m.join_seq FROM chat.members m "
    "WHERE m.conversation_id = $1 AND m.end_seq IS NULL AND m.user_id > $3 "
    "  AND EXISTS (SELECT 1 FROM chat.members y "
    "              WHERE y.conversation_id = $1 AND y.user_id = $2 AND y.end_seq IS NULL) "
    "  AND chat.shows($2, $1) "
    "ORDER BY m.user_id LIMIT $4";
constexpr char kWatermarks[] =
    "SELECT m.user_id, m.read_seq, m.delivered_seq FROM chat.members m "
    "WHERE m.conversation_id = $1 AND m.end_seq IS NULL AND m.user_id > $3 "
    "  AND EXISTS (SELECT 1 FROM chat.members y "
    "              WHERE y.conversation_id = $1 AND y.user_id = $2 AND y.end_seq IS NULL) "
    "  AND chat.shows($2, $1) "
    "  AND (m.user_id NOT IN (SELECT * FROM chat.blocked_with($2)) "
    "       OR (SELECT c.kind FROM chat.conversations c WHERE c.id = $1) <> 1) "
    "ORDER BY m.user_id LIMIT $4";
constexpr char kPresence[] =
    "SELECT bool_or(end_seq IS NULL) FROM chat.members WHERE conversation_id = $1 AND user_id = $2 "
    "AND chat.shows($2, $1)";

// The stays nearest to where a page of $4 entries begins, and the entries there of the nearest one,
// which are the whole page but where stays meet. Each stay shows an entry at least, so that one
// more than the page has entries are enough. The entries' LIMIT is hidden from the planner, so that
// one plan serves all pages. Indexes: the primary keys.
#define IM_PAGE(WHICH_STAYS, WHICH_ENTRIES, DIRECTION)                                            \
  "SELECT s.join_seq, s.first_seq, s.end_seq, s.last_seq, " IM_ENTRY_COLUMNS                      \
  "FROM (SELECT m.join_seq, m.first_seq, m.end_seq, c.last_seq, "                                 \
  "        row_number() OVER (ORDER BY m.join_seq " DIRECTION                                     \
  ") AS nr "                                                                                      \
  "      FROM chat.members m JOIN chat.conversations c ON c.id = m.conversation_id "              \
  "      WHERE m.conversation_id = $1 AND m.user_id = $2 AND " WHICH_STAYS                        \
  "      ORDER BY m.join_seq " DIRECTION                                                          \
  " LIMIT $4 + 1) s "                                                                             \
  "LEFT JOIN LATERAL (SELECT * FROM chat.entries y "                                              \
  "  WHERE s.nr = 1 AND y.conversation_id = $1 AND y.seq >= s.first_seq "                         \
  "    AND y.seq <= least(s.end_seq, s.last_seq) AND " WHICH_ENTRIES " ORDER BY y.seq " DIRECTION \
  " LIMIT (SELECT $4::int)) e ON true ORDER BY s.nr, e.seq"
constexpr char kPageBefore[] = IM_PAGE("m.first_seq < $3", "y.seq < $3", "DESC");
constexpr char kPageAfter[] =
    IM_PAGE("(m.end_seq IS NULL OR m.end_seq > $3)", "y.seq > $3 AND y.seq <= $5", "ASC");

// LATERAL with LIMIT, so that no plan reads more of a conversation than the ranges. The running sum
// of sizes leaves out what would not be sent. Index: the primary key.
constexpr char kEntries[] =
    "SELECT " IM_ENTRY_COLUMNS
    "FROM (SELECT r.nr, x.*, sum(octet_length(x.content)) "
    "        OVER (ORDER BY r.nr, x.seq ROWS UNBOUNDED PRECEDING) "
    "        - octet_length(x.content) AS bytes_before "
    "      FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY "
    "        AS r (id, low, high, nr) "
    "      CROSS JOIN LATERAL (SELECT * FROM chat.entries y WHERE y.conversation_id = r.id "
    "        AND y.seq BETWEEN r.low AND r.high ORDER BY y.seq LIMIT r.high - r.low + 1) x) e "
    "WHERE e.bytes_before < $4 ORDER BY e.nr, e.seq";

// A page of entries holds at most about this much content: a frame is at most 1 MB.
constexpr int64_t kMaxPageBytes = 512 << 10;

// Of IM_ENTRY_COLUMNS. By name they would be searched for, eight times a row.
Entry ReadEntry(const pqxx::row& row) {
  auto column = row.column_number("conversation_id");
  Entry entry;
  entry.conversation_id = row[column++].as<int64_t>();
  entry.seq = row[column++].as<int64_t>();
  entry.sender = row[column++].as<int64_t>();
  entry.at = row[column++].as<int64_t>();
  entry.request_id = BytesFromUuid(row[column++].c_str());
  entry.kind = static_cast<EntryKind>(row[column++].as<int>());
  entry.content = pg::Bytes(row[column++]);
  entry.count = row[column].as<int64_t>();
  return entry;
}

// "join,first,end,join,first,end,..."; an end of 0: it lasts.
std::vector<Stay> ParseStays(std::string_view text) {
  std::vector<int64_t> numbers;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    int64_t& number = numbers.emplace_back(0);
    (void)absl::SimpleAtoi(part, &number);  // PostgreSQL wrote them
  }
  std::vector<Stay> stays;
  for (size_t i = 0; i + 2 < numbers.size(); i += 3) {
    Stay& stay = stays.emplace_back(Stay{numbers[i], numbers[i + 1], std::nullopt});
    if (numbers[i + 2] > 0) stay.end_seq = numbers[i + 2];
  }
  return stays;
}

std::string TitleOf(EntryKind kind, const std::string& content) {
  if (kind == EntryKind::kGroupCreated) {
    v1::GroupCreated created;
    return created.ParseFromString(content) ? created.title() : std::string();
  }
  v1::GroupRenamed renamed;
  return renamed.ParseFromString(content) ? renamed.title() : std::string();
}

ConversationView ReadView(const pqxx::row& row) {
  ConversationView view;
  view.id = row["id"].as<int64_t>();
  view.kind = static_cast<v1::ConversationKind>(row["kind"].as<int>());
  view.peer = row["peer"].as<int64_t>();
  view.last_seq = row["last_seq"].as<int64_t>();
  view.last_at = row["last_at_micros"].as<int64_t>();
  view.unread = row["unread"].as<int64_t>();
  view.read_seq = row["read_seq"].as<int64_t>();
  if (row["present"].as<bool>()) {
    view.title = row["title"].as<std::string>();
    view.role = static_cast<v1::Role>(row["role"].as<int>());
    view.member_count = row["members"].as<int>();
  } else if (!row["title_kind"].is_null()) {
    view.title = TitleOf(static_cast<EntryKind>(row["title_kind"].as<int>()),
                         pg::Bytes(row["title_content"]));
  }
  if (!row["peer_read_seq"].is_null()) {
    view.peer_watermark = Watermark{view.peer, row["peer_read_seq"].as<int64_t>(),
                                    row["peer_delivered_seq"].as<int64_t>()};
  }
  view.stays = ParseStays(row["stays"].c_str());
  if (view.stays.size() > kMaxStays) {
    view.omitted_end_seq = view.stays.front().end_seq.value_or(0);
    view.stays.erase(view.stays.begin());
  }
  return view;
}

ConversationView ReadViewWithEntry(const pqxx::row& row) {
  ConversationView view = ReadView(row);
  if (!row["seq"].is_null()) view.last_entry = ReadEntry(row);
  return view;
}

}  // namespace

absl::StatusOr<ConversationView> PgHistoryStore::GetConversation(int64_t user,
                                                                 int64_t conversation) const {
  return pool_->Read([&](pg::Session& session) -> absl::StatusOr<ConversationView> {
    const pqxx::result rows = session.Exec(kGet, user, conversation);
    if (rows.empty()) return Error(Reason::CONVERSATION_NOT_FOUND);
    return ReadViewWithEntry(rows[0]);
  });
}

absl::StatusOr<std::vector<ConversationView>> PgHistoryStore::ListConversations(
    int64_t user, const std::optional<ListPlace>& after, int limit) const {
  const ListPlace place = after.value_or(ListPlace{INT64_MAX, INT64_MAX});
  return pool_->Read([&](pg::Session& session) {
    std::vector<ConversationView> views;
    for (const pqxx::row& row :
         session.Exec(kList, user, place.last_at, place.conversation_id, limit)) {
      views.push_back(ReadViewWithEntry(row));
    }
    return views;
  });
}

absl::StatusOr<std::vector<ConversationView>> PgHistoryStore::FindConversations(
    int64_t user, const std::vector<int64_t>& conversations) const {
  return pool_->Read([&](pg::Session& session) {
    std::vector<ConversationView> views;
    for (const pqxx::row& row : session.Exec(kFind, user, pg::Array(conversations))) {
      views.push_back(ReadView(row));
    }
    return views;
  });
}

absl::Status PgHistoryStore::CheckPresent(int64_t user, int64_t conversation) const {
  return pool_->Read([&](pg::Session& session) -> absl::Status {
    const pqxx::field present = session.Exec(kPresence, conversation, user)[0][0];
    if (present.is_null()) return Error(Reason::CONVERSATION_NOT_FOUND);
    return present.as<bool>() ? absl::OkStatus() : Error(Reason::NOT_A_MEMBER);
  });
}

absl::StatusOr<std::vector<PresentMember>> PgHistoryStore::ListMembers(int64_t user,
                                                                       int64_t conversation,
                                                                       int64_t after_user,
                                                                       int limit) const {
  absl::StatusOr<std::vector<PresentMember>> members = pool_->Read([&](pg::Session& session) {
    std::vector<PresentMember> found;
    for (const pqxx::row& row : session.Exec(kMembers, conversation, user, after_user, limit)) {
      found.push_back(
          {row[0].as<int64_t>(), static_cast<v1::Role>(row[1].as<int>()), row[2].as<int64_t>()});
    }
    return found;
  });
  if (members.ok() && members->empty()) IM_RETURN_IF_ERROR(CheckPresent(user, conversation));
  return members;
}

absl::StatusOr<std::vector<Watermark>> PgHistoryStore::ListWatermarks(int64_t user,
                                                                      int64_t conversation,
                                                                      int64_t after_user,
                                                                      int limit) const {
  absl::StatusOr<std::vector<Watermark>> watermarks = pool_->Read([&](pg::Session& session) {
    std::vector<Watermark> found;
    for (const pqxx::row& row : session.Exec(kWatermarks, conversation, user, after_user, limit)) {
      found.push_back({row[0].as<int64_t>(), row[1].as<int64_t>(), row[2].as<int64_t>()});
    }
    return found;
  });
  if (watermarks.ok() && watermarks->empty()) IM_RETURN_IF_ERROR(CheckPresent(user, conversation));
  return watermarks;
}

absl::StatusOr<EntriesPage> PgHistoryStore::ListEntries(int64_t user, int64_t conversation,
                                                        const EntriesQuery& query) const {
  struct Nearest {
    std::vector<Stay> stays;
    int64_t last_seq = 0;
    std::vector<Entry> entries;
  };
  // A stay that lasts is taken to end at the last entry there was at this moment: what comes after
  // it may be none of the user's business by the time more entries are read.
  absl::StatusOr<Nearest> nearest = pool_->Read([&](pg::Session& session) {
    const pqxx::result rows =
        query.forward
            ? session.Exec(kPageAfter, conversation, user, query.after, query.limit, query.to)
            : session.Exec(kPageBefore, conversation, user, query.before, query.limit);
    Nearest found;
    for (const pqxx::row& row : rows) {
      const int64_t join_seq = row[0].as<int64_t>();
      if (found.stays.empty() || found.stays.back().join_seq != join_seq) {
        Stay& stay = found.stays.emplace_back(Stay{join_seq, row[1].as<int64_t>(), std::nullopt});
        if (!row[2].is_null()) stay.end_seq = row[2].as<int64_t>();
        found.last_seq = row[3].as<int64_t>();
      }
      if (!row[4].is_null()) found.entries.push_back(ReadEntry(row));
    }
    return found;
  });
  IM_RETURN_IF_ERROR(nearest.status());
  if (nearest->stays.empty() || nearest->last_seq == 0) {
    const absl::Status present = CheckPresent(user, conversation);
    if (!present.ok() && ReasonOf(present) != Reason::NOT_A_MEMBER) return present;
    return EntriesPage{};
  }

  const std::vector<SeqRange> visible = VisibleRanges(nearest->stays, nearest->last_seq);
  const std::vector<SeqRange> asked =
      query.forward
          ? Clip(visible, query.after == INT64_MAX ? query.after : query.after + 1, query.to)
          : Clip(visible, 1, query.before == INT64_MIN ? query.before : query.before - 1);
  const std::vector<SeqRange> chosen =
      query.forward ? Oldest(asked, query.limit) : Newest(asked, query.limit);
  EntriesPage page;
  page.more = CountEntries(asked) > query.limit;
  page.entries = std::move(nearest->entries);
  const auto is_chosen = [&](const Entry& entry) {
    return std::any_of(chosen.begin(), chosen.end(), [&](const SeqRange& range) {
      return range.from <= entry.seq && entry.seq <= range.to;
    });
  };
  page.entries.erase(
      std::remove_if(page.entries.begin(), page.entries.end(), std::not_fn(is_chosen)),
      page.entries.end());
  if (static_cast<int64_t>(page.entries.size()) < CountEntries(chosen)) {
    std::vector<EntryRange> ranges;
    for (const SeqRange& seqs : chosen) ranges.push_back({conversation, seqs});
    IM_ASSIGN_OR_RETURN(page.entries, ReadEntries(ranges, INT64_MAX));
  }

  // The page keeps what is nearest to where it begins, one entry at least.
  if (!query.forward) std::reverse(page.entries.begin(), page.entries.end());
  int64_t bytes = 0;
  size_t kept = 0;
  while (kept < page.entries.size() && bytes < kMaxPageBytes) {
    bytes += static_cast<int64_t>(page.entries[kept++].content.size());
  }
  page.more |= kept < page.entries.size();
  page.entries.resize(kept);
  if (!query.forward) std::reverse(page.entries.begin(), page.entries.end());
  return page;
}

absl::StatusOr<std::vector<Entry>> PgHistoryStore::ReadEntries(
    const std::vector<EntryRange>& ranges, int64_t max_bytes) const {
  std::vector<Entry> entries;
  if (ranges.empty()) return entries;
  std::vector<int64_t> ids, lows, highs;
  for (const EntryRange& range : ranges) {
    ids.push_back(range.conversation_id);
    lows.push_back(range.seqs.from);
    highs.push_back(range.seqs.to);
  }
  return pool_->Read([&](pg::Session& session) {
    entries.clear();
    for (const pqxx::row& row :
         session.Exec(kEntries, pg::Array(ids), pg::Array(lows), pg::Array(highs), max_bytes)) {
      entries.push_back(ReadEntry(row));
    }
    return entries;
  });
}

}  // namespace im::chat
