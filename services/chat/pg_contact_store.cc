#include "services/chat/pg_contact_store.h"

#include "common/base/error.h"
#include "services/chat/entry.h"

namespace im::chat {
namespace {

constexpr char kChange[] =
    "SELECT outcome, (change).* FROM chat.change_contact($1, $2, $3, $4::uuid, $5, $6, $7)";

#define IM_CONTACT_COLUMNS                  \
  "SELECT other_user_id, state, greeting, " \
  "(extract(epoch FROM since) * 1000000)::bigint AS since, blocked FROM chat.contacts "

// Index of these: the primary key.
constexpr char kList[] = IM_CONTACT_COLUMNS
    "WHERE user_id = $1 AND state = ANY ($2::smallint[]) AND other_user_id > $3 "
    "ORDER BY other_user_id LIMIT $4";
constexpr char kListBlocked[] = IM_CONTACT_COLUMNS
    "WHERE user_id = $1 AND blocked AND other_user_id > $2 ORDER BY other_user_id LIMIT $3";

constexpr char kVisible[] =
    "SELECT c.user_id, c.other_user_id FROM chat.contacts c "
    "JOIN chat.contacts o ON o.user_id = c.other_user_id AND o.other_user_id = c.user_id "
    "WHERE c.user_id = ANY ($1::bigint[]) AND c.state = 4 AND NOT c.blocked AND NOT o.blocked";

constexpr char kReachability[] = "SELECT reachability FROM chat.users WHERE user_id = $1";
constexpr char kUpdateSettings[] =
    "SELECT outcome, reachability, \"position\" "
    "FROM chat.update_settings($1, $2::uuid, $3, nullif($4::smallint, 0))";

constexpr char kWhoRefuses[] =
    "SELECT ids.id FROM unnest($2::bigint[]) AS ids (id) "
    "LEFT JOIN chat.contacts mine ON mine.user_id = $1 AND mine.other_user_id = ids.id "
    "LEFT JOIN chat.contacts theirs ON theirs.user_id = ids.id AND theirs.other_user_id = $1 "
    "LEFT JOIN chat.users u ON u.user_id = ids.id "
    "WHERE mine.blocked OR theirs.blocked "
    "  OR (mine.state IS DISTINCT FROM 4 AND u.reachability IS DISTINCT FROM 2)";

// Index: answers_at.
constexpr char kPurge[] =
    "DELETE FROM chat.answers WHERE (user_id, request_id) IN ("
    "  SELECT user_id, request_id FROM chat.answers WHERE at < now() - interval '24 hours' "
    "  ORDER BY at LIMIT $1)";

// The other one of a deadlock is through when this one is ended, so few are enough.
constexpr int kAttempts = 4;

const char* ActionName(ContactAction action) {
  switch (action) {
    case ContactAction::kRequest:
      return "request";
    case ContactAction::kAccept:
      return "accept";
    case ContactAction::kDecline:
      return "decline";
    case ContactAction::kWithdraw:
      return "withdraw";
    case ContactAction::kRemove:
      return "remove";
    case ContactAction::kBlock:
      return "block";
    case ContactAction::kUnblock:
      return "unblock";
  }
  return "";
}

enum Outcome : int {
  kDone = 0,
  kReused = 1,
  kNotThere = 2,
  kRefused = 3,
  kBlockedByCaller = 4,
  kTooMany = 5,
  kAgain = 6,
};

absl::Status Refusal(int outcome, ContactAction action) {
  switch (outcome) {
    case kReused:
      return Error(Reason::REQUEST_ID_REUSED);
    case kNotThere:
      return Error(action == ContactAction::kRemove ? Reason::CONTACT_NOT_FOUND
                                                    : Reason::REQUEST_NOT_FOUND);
    case kRefused:
      return Error(Reason::RECIPIENT_REFUSES);
    case kBlockedByCaller:
      return Error(Reason::BLOCKED_BY_CALLER);
    case kTooMany:
      return Error(Reason::TOO_MANY_CONTACTS);
    default:
      // As often as is tried: the two change things faster than this can follow.
      return Error(Reason::CONVERSATION_BUSY);
  }
}

Contact ReadContact(const pqxx::row& row) {
  Contact contact;
  contact.user_id = row["other_user_id"].as<int64_t>();
  contact.state = static_cast<ContactState>(row["state"].as<int>());
  contact.greeting = row["greeting"].as<std::string>();
  contact.since = row["since"].as<int64_t>();
  contact.blocked = row["blocked"].as<bool>();
  return contact;
}

std::vector<Contact> ReadContacts(const pqxx::result& rows) {
  std::vector<Contact> contacts;
  contacts.reserve(rows.size());
  for (const pqxx::row& row : rows) contacts.push_back(ReadContact(row));
  return contacts;
}

// Runs a statement again that was ended to resolve a deadlock: it changed nothing.
template <typename... Args>
pqxx::result ExecThroughDeadlocks(pg::Session* session, pg::Sql sql, const Args&... args) {
  for (int attempt = 1;; ++attempt) {
    try {
      return session->Exec(sql, args...);
    } catch (const pqxx::deadlock_detected&) {
      if (attempt == kAttempts) throw;
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<ContactChange>> PgContactStore::Change(ContactAction action,
                                                                  int64_t user, int64_t other,
                                                                  const RequestKey& key,
                                                                  const std::string& greeting) {
  return pool_->Write([&](pg::Session& session) -> absl::StatusOr<std::vector<ContactChange>> {
    int outcome = kAgain;
    for (int attempt = 0; attempt < kAttempts && outcome == kAgain; ++attempt) {
      const pqxx::result rows =
          ExecThroughDeadlocks(&session, kChange, ActionName(action), user, other,
                               UuidFromBytes(key.id), key.hash, greeting, max_contacts_);
      outcome = rows.at(0)["outcome"].as<int>();
      if (outcome != kDone) continue;
      std::vector<ContactChange> changes;
      for (const pqxx::row& row : rows) {
        changes.push_back(
            {row["user_id"].as<int64_t>(), ReadContact(row), row["position"].as<int64_t>()});
      }
      return changes;
    }
    return Refusal(outcome, action);
  });
}

absl::StatusOr<std::vector<Contact>> PgContactStore::List(int64_t user,
                                                          const std::vector<ContactState>& states,
                                                          int64_t after, int limit) {
  std::vector<int> numbers;
  for (const ContactState state : states) numbers.push_back(static_cast<int>(state));
  return pool_->Read([&](pg::Session& session) {
    return ReadContacts(session.Exec(kList, user, pg::Array(numbers), after, limit));
  });
}

absl::StatusOr<std::vector<Contact>> PgContactStore::ListBlocked(int64_t user, int64_t after,
                                                                 int limit) {
  return pool_->Read([&](pg::Session& session) {
    return ReadContacts(session.Exec(kListBlocked, user, after, limit));
  });
}

absl::StatusOr<std::vector<Visible>> PgContactStore::ListVisible(
    const std::vector<int64_t>& users) {
  return pool_->Read([&](pg::Session& session) {
    std::vector<Visible> pictures;
    std::unordered_map<int64_t, size_t> places;
    for (const int64_t user : users) {
      if (places.emplace(user, pictures.size()).second) pictures.push_back({user, {}});
    }
    for (const pqxx::row& row : session.Exec(kVisible, pg::Array(users))) {
      pictures[places.at(row[0].as<int64_t>())].others.push_back(row[1].as<int64_t>());
    }
    return pictures;
  });
}

absl::StatusOr<Reachability> PgContactStore::GetReachability(int64_t user) {
  return pool_->Read([&](pg::Session& session) {
    const pqxx::result rows = session.Exec(kReachability, user);
    return rows.empty() ? Reachability::kContacts : static_cast<Reachability>(rows[0][0].as<int>());
  });
}

absl::StatusOr<SettingsChange> PgContactStore::UpdateSettings(
    int64_t user, std::optional<Reachability> reachability, const RequestKey& key) {
  return pool_->Write([&](pg::Session& session) -> absl::StatusOr<SettingsChange> {
    const pqxx::result rows =
        ExecThroughDeadlocks(&session, kUpdateSettings, user, UuidFromBytes(key.id), key.hash,
                             reachability ? static_cast<int>(*reachability) : 0);
    const pqxx::row row = rows.at(0);
    if (row["outcome"].as<int>() != kDone) return Error(Reason::REQUEST_ID_REUSED);
    return SettingsChange{static_cast<Reachability>(row["reachability"].as<int>()),
                          row["position"].as<int64_t>()};
  });
}

absl::StatusOr<std::vector<int64_t>> PgContactStore::WhoRefuses(int64_t adder,
                                                                const std::vector<int64_t>& ids) {
  return pool_->Read([&](pg::Session& session) {
    std::vector<int64_t> refusing;
    for (const pqxx::row& row : session.Exec(kWhoRefuses, adder, pg::Array(ids))) {
      refusing.push_back(row[0].as<int64_t>());
    }
    return refusing;
  });
}

absl::StatusOr<int> PgContactStore::PurgeAnswers(int limit) {
  return pool_->Write([&](pg::Session& session) {
    return static_cast<int>(session.Exec(kPurge, limit).affected_rows());
  });
}

}  // namespace im::chat
