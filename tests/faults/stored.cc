#include "tests/faults/stored.h"

#include <algorithm>
#include <pqxx/pqxx>

#include "im/chat/v1/entries.pb.h"

namespace im::faults {
namespace {

constexpr char kConversations[] =
    "SELECT id, coalesce(low_user_id, 0), coalesce(high_user_id, 0), last_seq, last_count "
    "FROM chat.conversations";
constexpr char kStays[] =
    "SELECT conversation_id, user_id, join_seq, first_seq, end_seq, read_seq, read_count, "
    "delivered_seq FROM chat.members ORDER BY conversation_id, user_id, join_seq";
constexpr char kPeople[] = "SELECT user_id, log_position FROM chat.users";
constexpr char kOwnLogs[] =
    "SELECT l.user_id, l.kind, l.object, l.position, CASE l.kind "
    "  WHEN 1 THEN (SELECT c.state + CASE WHEN c.blocked THEN 100 ELSE 0 END FROM chat.contacts c"
    "               WHERE c.user_id = l.user_id AND c.other_user_id = l.object)"
    "  WHEN 2 THEN (SELECT u.reachability FROM chat.users u WHERE u.user_id = l.user_id)"
    "  ELSE (SELECT m.read_seq FROM chat.members m"
    "        WHERE m.conversation_id = l.object AND m.user_id = l.user_id"
    "        ORDER BY m.join_seq DESC LIMIT 1) END "
    "FROM chat.own_log l";
constexpr char kEntries[] =
    "SELECT conversation_id, seq, sender_user_id, uuid_send(request_id), kind, content, "
    "(extract(epoch from at) * 1000000)::bigint, count "
    "FROM chat.entries ORDER BY conversation_id, seq";

std::string Bytes(const pqxx::field& field) { return pqxx::binarystring(field).str(); }

// What a change of members means for stays.
void ReadMembers(const std::string& content, StoredEntry* entry) {
  switch (entry->kind) {
    case EntryKind::kGroupCreated: {
      chat::v1::GroupCreated body;
      body.ParseFromString(content);
      entry->begins.assign(body.user_ids().begin(), body.user_ids().end());
      entry->begins_first = 1;
      return;
    }
    case EntryKind::kMembersAdded: {
      chat::v1::MembersAdded body;
      body.ParseFromString(content);
      entry->begins.assign(body.user_ids().begin(), body.user_ids().end());
      entry->begins_first = body.first_seq();
      return;
    }
    case EntryKind::kMemberRemoved: {
      chat::v1::MemberRemoved body;
      body.ParseFromString(content);
      entry->ends = {body.user_id()};
      return;
    }
    case EntryKind::kMemberLeft:
      entry->ends = {entry->sender};
      return;
    case EntryKind::kMemberReturned: {
      chat::v1::MemberReturned body;
      body.ParseFromString(content);
      entry->begins = {entry->sender};
      entry->begins_first = body.first_seq();
      return;
    }
    case EntryKind::kMessage:
    case EntryKind::kGroupRenamed:
      return;
  }
}

void ReadPositions(pqxx::read_transaction& transaction, Stored* stored) {
  for (const auto& row : transaction.exec(kConversations)) {
    StoredConversation& conversation = stored->conversations[row[0].as<int64_t>()];
    conversation.low = row[1].as<int64_t>();
    conversation.high = row[2].as<int64_t>();
    conversation.last_seq = row[3].as<int64_t>();
    conversation.last_count = row[4].as<int64_t>();
  }
  for (const auto& row : transaction.exec(kStays)) {
    StoredStay stay;
    stay.join_seq = row[2].as<int64_t>();
    stay.first_seq = row[3].as<int64_t>();
    if (!row[4].is_null()) stay.end_seq = row[4].as<int64_t>();
    stay.read_seq = row[5].as<int64_t>();
    stay.read_count = row[6].as<int64_t>();
    stay.delivered_seq = row[7].as<int64_t>();
    stored->conversations[row[0].as<int64_t>()].stays[row[1].as<int64_t>()].push_back(stay);
  }
  for (const auto& row : transaction.exec(kPeople)) {
    stored->people[row[0].as<int64_t>()].log_position = row[1].as<int64_t>();
  }
  for (const auto& row : transaction.exec(kOwnLogs)) {
    stored->people[row[0].as<int64_t>()].own_log[{row[1].as<int>(), row[2].as<int64_t>()}] = {
        row[3].as<int64_t>(), row[4].as<int64_t>(0)};
  }
}

}  // namespace

const StoredEntry* StoredConversation::Find(int64_t seq) const {
  const auto found =
      std::lower_bound(entries.begin(), entries.end(), seq,
                       [](const StoredEntry& entry, int64_t wanted) { return entry.seq < wanted; });
  return found == entries.end() || found->seq != seq ? nullptr : &*found;
}

bool Stored::Blocked(int64_t one, int64_t other) const {
  const auto blocks = [this](int64_t by, int64_t whom) {
    const auto person = people.find(by);
    if (person == people.end()) return false;
    const auto record = person->second.own_log.find({1, whom});
    return record != person->second.own_log.end() && record->second.value >= 100;
  };
  return blocks(one, other) || blocks(other, one);
}

Stored ReadStored(const std::string& database_url) {
  pqxx::connection connection(database_url);
  pqxx::read_transaction transaction(connection);
  Stored stored;
  ReadPositions(transaction, &stored);
  for (const auto& row : transaction.exec(kEntries)) {
    StoredEntry entry;
    entry.seq = row[1].as<int64_t>();
    entry.sender = row[2].as<int64_t>();
    entry.request_id = ToRequestId(Bytes(row[3]));
    entry.kind = static_cast<EntryKind>(row[4].as<int>());
    const std::string content = Bytes(row[5]);
    entry.hash = HashOf(content);
    entry.at = row[6].as<int64_t>();
    entry.count = row[7].as<int64_t>();
    ReadMembers(content, &entry);
    stored.conversations[row[0].as<int64_t>()].entries.push_back(std::move(entry));
  }
  return stored;
}

Stored ReadPositions(const std::string& database_url) {
  pqxx::connection connection(database_url);
  pqxx::read_transaction transaction(connection);
  Stored stored;
  ReadPositions(transaction, &stored);
  return stored;
}

int64_t LastVisible(const StoredConversation& conversation, const std::vector<StoredStay>& stays) {
  if (stays.empty()) return 0;
  return stays.back().end_seq.value_or(conversation.last_seq);
}

}  // namespace im::faults
