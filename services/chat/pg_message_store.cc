#include "services/chat/pg_message_store.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace im::chat {
namespace {

#define IM_STATE_COLUMNS                                                                       \
  " c.kind, c.title, c.open_history, c.low_user_id, c.high_user_id, c.last_seq, c.last_count," \
  " c.version, coalesce(lh.state = 4, false) AS contacts,"                                     \
  " coalesce(lh.blocked, false) AS low_blocks, coalesce(hl.blocked, false) AS high_blocks,"    \
  " coalesce(lu.reachability = 2, false) AS low_open,"                                         \
  " coalesce(hu.reachability = 2, false) AS high_open "
#define IM_STATE_JOINS                                         \
  " LEFT JOIN chat.contacts lh ON lh.user_id = c.low_user_id"  \
  "   AND lh.other_user_id = c.high_user_id"                   \
  " LEFT JOIN chat.contacts hl ON hl.user_id = c.high_user_id" \
  "   AND hl.other_user_id = c.low_user_id"                    \
  " LEFT JOIN chat.users lu ON lu.user_id = c.low_user_id"     \
  " LEFT JOIN chat.users hu ON hu.user_id = c.high_user_id "

constexpr char kLoadStates[] =
    "SELECT c.id," IM_STATE_COLUMNS "FROM chat.conversations c" IM_STATE_JOINS
    "WHERE c.id = ANY ($1::bigint[])";

constexpr char kLoadPair[] =
    "SELECT coalesce(c.id, 0) AS id, 1 AS kind, '' AS title, false AS open_history,"
    " p.low AS low_user_id, p.high AS high_user_id, coalesce(c.last_seq, 0) AS last_seq,"
    " coalesce(c.last_count, 0) AS last_count, coalesce(c.version, 0) AS version,"
    " coalesce(lh.state = 4, false) AS contacts, coalesce(lh.blocked, false) AS low_blocks,"
    " coalesce(hl.blocked, false) AS high_blocks, coalesce(lu.reachability = 2, false) AS low_open,"
    " coalesce(hu.reachability = 2, false) AS high_open "
    "FROM (VALUES (least($1::bigint, $2::bigint), greatest($1::bigint, $2::bigint))) AS p (low, "
    "high)"
    " LEFT JOIN chat.conversations c ON c.kind = 1 AND c.low_user_id = p.low AND c.high_user_id = "
    "p.high"
    " LEFT JOIN chat.contacts lh ON lh.user_id = p.low AND lh.other_user_id = p.high"
    " LEFT JOIN chat.contacts hl ON hl.user_id = p.high AND hl.other_user_id = p.low"
    " LEFT JOIN chat.users lu ON lu.user_id = p.low LEFT JOIN chat.users hu ON hu.user_id = p.high";

// Of states known at a version only what changed since; indexes: members' key and members_version.
constexpr char kLoadMembers[] =
    "SELECT m.conversation_id, m.user_id, m.join_seq, m.first_seq, m.role, m.sent_seq, "
    "m.closed_seq,"
    " m.end_seq IS NULL AS present "
    "FROM unnest($1::bigint[], $2::bigint[]) AS k (id, version)"
    " JOIN chat.members m ON m.conversation_id = k.id AND m.version > k.version "
    "WHERE k.version > 0 OR m.end_seq IS NULL "
    "ORDER BY m.conversation_id, m.user_id, m.join_seq";

constexpr char kOpenDirect[] = "SELECT chat.open_direct($1, $2)";

constexpr char kAppend[] =
    "SELECT outcome, conversation_id, entry, (extract(epoch FROM at) * 1000000)::bigint AS at "
    "FROM chat.append($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],"
    " $6::int[], $7::bigint[], $8::bigint[], $9::uuid[], $10::bigint[], $11::smallint[], "
    "$12::bigint[],"
    " $13::int[], $14::int[], $15::bytea, $16::bigint[], $17::bigint[], $18::bigint[], "
    "$19::bigint[],"
    " $20::bigint[], $21::boolean)";

constexpr char kAppendOne[] =
    "SELECT (extract(epoch FROM at) * 1000000)::bigint "
    "FROM chat.append_one($1, $2, $3, $4, $5, $6, $7::uuid, $8, $9::smallint, $10::bytea) AS at";

constexpr char kChange[] =
    "SELECT outcome, (extract(epoch FROM stored_at) * 1000000)::bigint AS at "
    "FROM chat.change($1, $2, $3, $4, $5::uuid, $6, $7::smallint, $8::bytea, $9::bigint[],"
    " $10::smallint[], $11, $12::bigint[], $13, $14::text)";

constexpr char kCreateGroup[] =
    "SELECT outcome, made_id, made_hash FROM chat.create_group($1, $2::uuid, $3, $4, $5, "
    "$6::bigint[],"
    " $7::smallint, $8::bytea)";

constexpr char kIsAnswered[] =
    "SELECT 1 FROM chat.answers WHERE user_id = $1 AND request_id = $2::uuid";

constexpr char kNoteNothingToDo[] =
    "INSERT INTO chat.answers (user_id, request_id, request_hash, response) "
    "VALUES ($1, $2::uuid, $3, '{}') ON CONFLICT DO NOTHING";
constexpr char kHadNothingToDo[] =
    "SELECT 1 FROM chat.answers WHERE user_id = $1 AND request_id = $2::uuid AND request_hash = $3";

#define IM_ENTRY_COLUMNS                                                                           \
  "SELECT conversation_id, seq, sender_user_id, (extract(epoch FROM at) * 1000000)::bigint AS at," \
  " request_id, request_hash, kind, content, count FROM chat.entries "

// Index: entries_request.
constexpr char kFindEntry[] =
    IM_ENTRY_COLUMNS "WHERE conversation_id = $1 AND sender_user_id = $2 AND request_id = $3::uuid";
constexpr char kFindEntryBySeq[] = IM_ENTRY_COLUMNS "WHERE conversation_id = $1 AND seq = $2";

constexpr char kShows[] = "SELECT chat.shows($1, $2)";

constexpr char kLastStay[] =
    "SELECT role, left_by_self FROM chat.members WHERE conversation_id = $1 AND user_id = $2 "
    "ORDER BY join_seq DESC LIMIT 1";

Entry ReadEntry(const pqxx::row& row) {
  Entry entry;
  entry.conversation_id = row["conversation_id"].as<int64_t>();
  entry.seq = row["seq"].as<int64_t>();
  entry.sender = row["sender_user_id"].as<int64_t>();
  entry.at = row["at"].as<int64_t>();
  entry.request_id = BytesFromUuid(row["request_id"].c_str());
  entry.request_hash = row["request_hash"].as<int64_t>();
  entry.kind = static_cast<EntryKind>(row["kind"].as<int>());
  entry.content = pg::Bytes(row["content"]);
  entry.count = row["count"].as<int64_t>();
  return entry;
}

// One id may stand for something in each conversation.
int64_t HashIn(int64_t conversation, int64_t request_hash) {
  return HashRequest("NothingToDo", absl::StrCat(conversation, "/", request_hash));
}

// All but the members.
void ReadState(const pqxx::row& row, ConversationState* state) {
  state->id = row["id"].as<int64_t>();
  state->kind = static_cast<ConversationKind>(row["kind"].as<int>());
  state->title = row["title"].as<std::string>();
  state->open_history = row["open_history"].as<bool>();
  state->last_seq = row["last_seq"].as<int64_t>();
  state->last_count = row["last_count"].as<int64_t>();
  state->version = row["version"].as<int64_t>();
  state->low = {row["low_user_id"].as<int64_t>(0), row["low_blocks"].as<bool>(),
                row["low_open"].as<bool>()};
  state->high = {row["high_user_id"].as<int64_t>(0), row["high_blocks"].as<bool>(),
                 row["high_open"].as<bool>()};
  state->contacts = row["contacts"].as<bool>();
}

void ReadMember(const pqxx::row& row, ConversationState* state) {
  const int64_t user = row["user_id"].as<int64_t>();
  const int64_t join_seq = row["join_seq"].as<int64_t>();
  if (!row["present"].as<bool>()) {
    // Rows come in the order of stays: a later one that goes on adds the member again.
    state->members.erase(user);
    return;
  }
  state->members[user] = {join_seq, row["first_seq"].as<int64_t>(),
                          static_cast<Role>(row["role"].as<int>()), row["sent_seq"].as<int64_t>(),
                          row["closed_seq"].as<int64_t>()};
}

}  // namespace

absl::Status PgMessageStore::Refresh(const std::vector<ConversationState*>& states) {
  std::vector<int64_t> ids;
  std::vector<int64_t> versions;
  std::unordered_map<int64_t, ConversationState*> by_id;
  for (ConversationState* state : states) {
    ids.push_back(state->id);
    // Of direct conversations, sent_seq is needed too, which raises no version.
    versions.push_back(state->kind == ConversationKind::kDirect ? 0 : state->version);
    by_id[state->id] = state;
  }
  struct Rows {
    pqxx::result states, members;
  };
  // Taken over only when all was read: a state with a new version and the members of an old one
  // would stay so.
  const absl::StatusOr<Rows> rows = pool_->Read([&](pg::Session& session) {
    // The row first: members may then be newer than the version says, never older.
    Rows read;
    read.states = session.Exec(kLoadStates, pg::Array(ids));
    read.members = session.Exec(kLoadMembers, pg::Array(ids), pg::Array(versions));
    return read;
  });
  IM_RETURN_IF_ERROR(rows.status());
  std::unordered_set<int64_t> found;
  for (const pqxx::row& row : rows->states) {
    const int64_t id = row["id"].as<int64_t>();
    ReadState(row, by_id.at(id));
    found.insert(id);
  }
  for (const pqxx::row& row : rows->members) {
    ReadMember(row, by_id.at(row["conversation_id"].as<int64_t>()));
  }
  for (ConversationState* state : states) {
    if (found.count(state->id) == 0) state->id = 0;
  }
  return absl::OkStatus();
}

absl::StatusOr<ConversationState> PgMessageStore::LoadPair(int64_t one, int64_t other) {
  return pool_->Read([&](pg::Session& session) {
    ConversationState state;
    ReadState(session.Exec(kLoadPair, one, other).at(0), &state);
    if (state.id != 0) {
      const std::vector<int64_t> ids = {state.id}, versions = {0};
      for (const pqxx::row& row : session.Exec(kLoadMembers, pg::Array(ids), pg::Array(versions))) {
        ReadMember(row, &state);
      }
    }
    return state;
  });
}

absl::StatusOr<int64_t> PgMessageStore::OpenDirect(int64_t one, int64_t other) {
  return pool_->Write([&](pg::Session& session) {
    return session.Exec(kOpenDirect, one, other).at(0).at(0).as<int64_t>();
  });
}

absl::StatusOr<bool> PgMessageStore::AppendOne(const AppendBatch& batch) {
  const AppendBatch::Conversation& conversation = batch.conversations.front();
  Entry& entry = *batch.entries.front();
  return pool_->Write([&](pg::Session& session) {
    const pqxx::field at =
        session
            .Exec(kAppendOne, conversation.id, conversation.last_seq, conversation.version,
                  entry.count, entry.sender, batch.join_seqs.front(),
                  UuidFromBytes(entry.request_id), entry.request_hash, static_cast<int>(entry.kind),
                  pg::Bytes(entry.content))
            .at(0)
            .at(0);
    if (!at.is_null()) entry.at = at.as<int64_t>();
    return !at.is_null();
  });
}

absl::StatusOr<AppendResult> PgMessageStore::Append(const AppendBatch& batch, bool wait) {
  if (batch.entries.size() == 1) {
    IM_ASSIGN_OR_RETURN(const bool stored, AppendOne(batch));
    if (stored) return AppendResult();
  }
  std::vector<int64_t> c_id, c_seq, c_version, c_new_seq, c_new_count;
  std::unordered_map<int64_t, int> position;
  for (const auto& conversation : batch.conversations) {
    c_id.push_back(conversation.id);
    c_seq.push_back(conversation.last_seq);
    c_version.push_back(conversation.version);
    c_new_seq.push_back(conversation.new_seq);
    c_new_count.push_back(conversation.new_count);
    position[conversation.id] = static_cast<int>(c_id.size());
  }
  std::vector<int64_t> e_seq, e_sender, e_hash, e_count;
  std::vector<int> e_conversation, e_kind, e_offset, e_length;
  std::string requests = "{";
  std::string contents;
  // The last entry of each sender in each conversation.
  std::map<std::pair<int64_t, int64_t>, size_t> last_of;
  for (size_t i = 0; i < batch.entries.size(); ++i) {
    const Entry& entry = *batch.entries[i];
    e_conversation.push_back(position.at(entry.conversation_id));
    e_seq.push_back(entry.seq);
    e_sender.push_back(entry.sender);
    if (i > 0) requests += ',';
    requests += UuidFromBytes(entry.request_id);
    e_hash.push_back(entry.request_hash);
    e_kind.push_back(static_cast<int>(entry.kind));
    e_count.push_back(entry.count);
    e_offset.push_back(static_cast<int>(contents.size()));
    e_length.push_back(static_cast<int>(entry.content.size()));
    contents += entry.content;
    last_of[{entry.conversation_id, entry.sender}] = i;
  }
  requests += '}';
  std::vector<int64_t> s_conversation, s_user, s_join, s_seq, s_count;
  for (const auto& [key, i] : last_of) {
    s_conversation.push_back(key.first);
    s_user.push_back(key.second);
    s_join.push_back(batch.join_seqs[i]);
    s_seq.push_back(batch.entries[i]->seq);
    s_count.push_back(batch.entries[i]->count);
  }
  return pool_->Write([&](pg::Session& session) {
    const pqxx::result rows = session.Exec(
        kAppend, pg::Array(c_id), pg::Array(c_seq), pg::Array(c_version), pg::Array(c_new_seq),
        pg::Array(c_new_count), pg::Array(e_conversation), pg::Array(e_seq), pg::Array(e_sender),
        requests, pg::Array(e_hash), pg::Array(e_kind), pg::Array(e_count), pg::Array(e_offset),
        pg::Array(e_length), pg::Bytes(contents), pg::Array(s_conversation), pg::Array(s_user),
        pg::Array(s_join), pg::Array(s_seq), pg::Array(s_count), wait);
    AppendResult result;
    std::unordered_map<int64_t, int64_t> at;
    for (const pqxx::row& row : rows) {
      const int64_t id = row["conversation_id"].as<int64_t>();
      switch (row["outcome"].as<int>()) {
        case 0:
          at[id] = row["at"].as<int64_t>();
          break;
        case 1:
          result.locked.push_back(id);
          break;
        case 2:
          result.stale.push_back(id);
          break;
        default:
          result.known.push_back(row["entry"].as<size_t>() - 1);
      }
    }
    if (result.stored()) {
      for (Entry* entry : batch.entries) entry->at = at.at(entry->conversation_id);
    }
    return result;
  });
}

absl::StatusOr<ChangeOutcome> PgMessageStore::Change(const ConversationState& state,
                                                     const ChangePlan& plan, Entry* entry) {
  const std::vector<int> roles(plan.begin.size(), static_cast<int>(plan.begin_role));
  return pool_->Write([&](pg::Session& session) -> absl::StatusOr<ChangeOutcome> {
    const pqxx::row row =
        session
            .Exec(kChange, state.id, state.last_seq, state.version, entry->sender,
                  UuidFromBytes(entry->request_id), entry->request_hash,
                  static_cast<int>(*plan.entry_kind), pg::Bytes(plan.content),
                  pg::Array(plan.begin), pg::Array(roles), plan.begin_first_seq,
                  pg::Array(plan.end), plan.by_self, plan.title ? plan.title->c_str() : nullptr)
            .at(0);
    switch (row["outcome"].as<int>()) {
      case 0:
        entry->conversation_id = state.id;
        entry->seq = state.last_seq + 1;
        entry->at = row["at"].as<int64_t>();
        entry->kind = *plan.entry_kind;
        entry->content = plan.content;
        entry->count = state.last_count;
        return ChangeOutcome::kStored;
      case 2:
        return ChangeOutcome::kStale;
      case 4:
        return Error(Reason::MEMBER_REFUSED);
      default:
        return ChangeOutcome::kKnown;
    }
  });
}

absl::StatusOr<PgMessageStore::CreatedGroup> PgMessageStore::CreateGroup(
    int64_t founder, const std::string& request_id, int64_t request_hash, const std::string& title,
    bool open_history, const std::vector<int64_t>& members, const std::string& content) {
  return pool_->Write([&](pg::Session& session) -> absl::StatusOr<CreatedGroup> {
    const pqxx::row row = session
                              .Exec(kCreateGroup, founder, UuidFromBytes(request_id), request_hash,
                                    title, open_history, pg::Array(members),
                                    static_cast<int>(EntryKind::kGroupCreated), pg::Bytes(content))
                              .at(0);
    if (row["outcome"].as<int>() == 4) return Error(Reason::MEMBER_REFUSED);
    return CreatedGroup{row["made_id"].as<int64_t>(), row["outcome"].as<int>() != 0,
                        row["made_hash"].as<int64_t>()};
  });
}

absl::StatusOr<bool> PgMessageStore::Shows(int64_t user, int64_t conversation) {
  return pool_->Read([&](pg::Session& session) {
    return session.Exec(kShows, user, conversation).at(0).at(0).as<bool>();
  });
}

absl::StatusOr<bool> PgMessageStore::IsAnswered(int64_t user, const std::string& request_id) {
  return pool_->Read([&](pg::Session& session) {
    return !session.Exec(kIsAnswered, user, UuidFromBytes(request_id)).empty();
  });
}

absl::Status PgMessageStore::NoteNothingToDo(int64_t conversation, int64_t user,
                                             const std::string& request_id, int64_t request_hash) {
  return pool_->Write([&](pg::Session& session) {
    session.Exec(kNoteNothingToDo, user, UuidFromBytes(request_id),
                 HashIn(conversation, request_hash));
  });
}

absl::StatusOr<bool> PgMessageStore::HadNothingToDo(int64_t conversation, int64_t user,
                                                    const std::string& request_id,
                                                    int64_t request_hash) {
  return pool_->Read([&](pg::Session& session) {
    return !session
                .Exec(kHadNothingToDo, user, UuidFromBytes(request_id),
                      HashIn(conversation, request_hash))
                .empty();
  });
}

absl::StatusOr<std::optional<Entry>> PgMessageStore::FindEntry(int64_t conversation, int64_t sender,
                                                               const std::string& request_id) {
  return pool_->Read([&](pg::Session& session) -> std::optional<Entry> {
    const pqxx::result rows =
        session.Exec(kFindEntry, conversation, sender, UuidFromBytes(request_id));
    if (rows.empty()) return std::nullopt;
    return ReadEntry(rows.at(0));
  });
}

absl::StatusOr<std::optional<Entry>> PgMessageStore::FindEntryBySeq(int64_t conversation,
                                                                    int64_t seq) {
  return pool_->Read([&](pg::Session& session) -> std::optional<Entry> {
    const pqxx::result rows = session.Exec(kFindEntryBySeq, conversation, seq);
    if (rows.empty()) return std::nullopt;
    return ReadEntry(rows.at(0));
  });
}

absl::StatusOr<std::optional<LastStay>> PgMessageStore::FindLastStay(int64_t conversation,
                                                                     int64_t user) {
  return pool_->Read([&](pg::Session& session) -> std::optional<LastStay> {
    const pqxx::result rows = session.Exec(kLastStay, conversation, user);
    if (rows.empty()) return std::nullopt;
    return LastStay{static_cast<Role>(rows.at(0)["role"].as<int>()),
                    rows.at(0)["left_by_self"].as<bool>()};
  });
}

}  // namespace im::chat
