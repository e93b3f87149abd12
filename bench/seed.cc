#include "bench/seed.h"

#include <sodium.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "bench/messages.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "common/pg/pool.h"
#include "im/chat/v1/entries.pb.h"
#include "im/chat/v1/messages.pb.h"
#include "services/chat/send_request.h"

namespace im::bench {
namespace {

// Of a refresh token: the device's part, and the one that is new with each (services/auth).
constexpr size_t kTokenPart = 16;

constexpr char kSeedAccounts[] =
    "SELECT r.user_id"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY"
    "   AS s(user_name, display_name, family, secret, place)"
    " LEFT JOIN LATERAL auth.register("
    "   now(), s.user_name, s.display_name, $5, 'bench', 'im-bench',"
    "   sha256(decode(s.family, 'hex')), sha256(decode(s.secret, 'hex')),"
    "   now() + interval '60 days') AS r ON true"
    " ORDER BY s.place";

constexpr char kOpenToAnyone[] =
    "SELECT count(r.outcome) FROM unnest($1::bigint[]) AS s(user_id),"
    " LATERAL chat.update_settings(s.user_id, gen_random_uuid(), 0, 2::smallint) AS r";

constexpr char kSeedDevices[] =
    "SELECT a.user_name, r.outcome"
    " FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY"
    "   AS s(user_id, family, secret, place)"
    " JOIN auth.accounts a ON a.user_id = s.user_id,"
    " LATERAL auth.log_in("
    "   now(), sha256(a.user_name::bytea), a.user_id, 1, NULL, 'bench', 'im-bench',"
    "   sha256(decode(s.family, 'hex')), sha256(decode(s.secret, 'hex')),"
    "   now() + interval '60 days') AS r"
    " ORDER BY s.place";

// The id, with its place among what was asked for. In the order of the people's ids, for their
// locks.
constexpr char kSeedDirects[] =
    "SELECT chat.open_direct(s.one, s.other) AS id, s.place"
    " FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS u(one, other, place)"
    "       ORDER BY least(one, other), greatest(one, other)) AS s";
constexpr char kSeedGroups[] =
    "SELECT r.made_id AS id, s.place"
    " FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[])"
    "   AS s(founder, hash, members, content, place),"
    " LATERAL chat.create_group(s.founder, gen_random_uuid(), s.hash, $6, false,"
    "   s.members::bigint[], 11::smallint, decode(s.content, 'hex')) AS r";

// $1 conversations and $2 the hashes of a request there, $3 content, $4 how many for each. Kind 10
// is a message; see the columns. As chat.append does it: sending reads one's own.
constexpr char kSeedMessages[] =
    "WITH place AS MATERIALIZED ("
    "  SELECT c.id, c.last_seq, c.last_count, c.last_at, s.hash"
    "  FROM unnest($1::bigint[], $2::bigint[]) AS s(id, hash)"
    "  JOIN chat.conversations c ON c.id = s.id ORDER BY c.id FOR NO KEY UPDATE OF c),"
    " member AS MATERIALIZED ("
    "  SELECT m.conversation_id, m.user_id, m.join_seq, count(*) OVER w AS many,"
    "    row_number() OVER (PARTITION BY m.conversation_id ORDER BY m.user_id) - 1 AS turn"
    "  FROM place p JOIN chat.members m ON m.conversation_id = p.id AND m.end_seq IS NULL"
    "  WINDOW w AS (PARTITION BY m.conversation_id)),"
    " stored AS ("
    "  INSERT INTO chat.entries (conversation_id, seq, sender_user_id, at, request_id,"
    "    request_hash, kind, content, count)"
    "  SELECT p.id, p.last_seq + n, m.user_id, p.last_at + n * interval '1 microsecond',"
    "    gen_random_uuid(), p.hash, 10, $3, p.last_count + n"
    "  FROM generate_series(1, $4::bigint) AS n CROSS JOIN place p"
    "  JOIN member m ON m.conversation_id = p.id AND m.turn = (p.last_seq + n) % m.many"
    "  ORDER BY n, p.id),"
    " sent AS ("
    "  UPDATE chat.members AS t SET sent_seq = s.seq, read_seq = s.seq, delivered_seq = s.seq,"
    "    read_count = s.count"
    "  FROM (SELECT m.conversation_id, m.user_id, m.join_seq, p.last_seq, v.seq,"
    "          p.last_count + v.seq - p.last_seq AS count"
    "        FROM member m JOIN place p ON p.id = m.conversation_id,"
    "        LATERAL (SELECT p.last_seq + $4 - (p.last_seq + $4 - m.turn) % m.many AS seq) v) s"
    "  WHERE t.conversation_id = s.conversation_id AND t.user_id = s.user_id"
    "    AND t.join_seq = s.join_seq AND s.seq > s.last_seq AND s.seq <= s.last_seq + $4)"
    " UPDATE chat.conversations AS c SET last_seq = p.last_seq + $4,"
    "   last_count = p.last_count + $4, last_at = p.last_at + $4 * interval '1 microsecond'"
    " FROM place p WHERE c.id = p.id";
constexpr char kLastSeqs[] =
    "SELECT c.last_seq FROM unnest($1::bigint[]) WITH ORDINALITY AS s(id, place)"
    " JOIN chat.conversations c ON c.id = s.id ORDER BY s.place";
constexpr int64_t kMessagesAtOnce = 50'000;
constexpr char kTitle[] = "Seeded";

// As libsodium writes it, with the least work it allows.
std::string CheapHash() {
  const std::string password = RandomBytes(32);
  std::string hash(crypto_pwhash_STRBYTES, '\0');
  if (crypto_pwhash_str_alg(hash.data(), password.data(), password.size(),
                            crypto_pwhash_OPSLIMIT_MIN, crypto_pwhash_MEMLIMIT_MIN,
                            crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return {};
  }
  hash.resize(hash.find('\0'));
  return hash;
}

// The tokens of devices that are to be made, and their parts as the database gets them.
class NewTokens {
 public:
  void AddTo(Account* account) {
    const std::string family = RandomBytes(kTokenPart), secret = RandomBytes(kTokenPart);
    families_.push_back(absl::BytesToHexString(family));
    secrets_.push_back(absl::BytesToHexString(secret));
    account->tokens.set_refresh_token(absl::WebSafeBase64Escape(family + secret));
  }
  std::string families() const { return pg::TextArray(families_); }
  std::string secrets() const { return pg::TextArray(secrets_); }

 private:
  std::vector<std::string> families_, secrets_;
};

// Runs `work` in one transaction.
template <typename Work>
absl::Status InTransaction(const std::string& database_url, const Work& work) {
  try {
    pg::Session session(database_url);
    pqxx::work transaction(session.connection());
    IM_RETURN_IF_ERROR(work(transaction));
    transaction.commit();
  } catch (const std::exception& e) {
    return pg::StatusFromException(e, true);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Account>> SeedAccounts(const std::string& database_url,
                                                  const std::vector<NewAccount>& accounts) {
  if (sodium_init() < 0) return absl::UnavailableError("no source of randomness");
  const std::string hash = CheapHash();
  if (hash.empty()) return absl::ResourceExhaustedError("no memory to hash a password");
  std::vector<std::string> names, display_names;
  NewTokens tokens;
  std::vector<Account> seeded;
  for (const NewAccount& account : accounts) {
    names.push_back(account.user_name);
    display_names.push_back(account.display_name);
    seeded.push_back({.user_name = account.user_name});
    tokens.AddTo(&seeded.back());
  }
  IM_RETURN_IF_ERROR(InTransaction(database_url, [&](pqxx::work& transaction) -> absl::Status {
    const pqxx::result rows =
        transaction.exec_params(kSeedAccounts, pg::TextArray(names), pg::TextArray(display_names),
                                tokens.families(), tokens.secrets(), hash);
    std::vector<int64_t> ids;
    for (const pqxx::row& row : rows) {
      if (row[0].is_null()) return absl::AlreadyExistsError("a user name is taken");
      ids.push_back(row[0].as<int64_t>());
      seeded[ids.size() - 1].user_id = ids.back();
    }
    transaction.exec_params(kOpenToAnyone, pg::Array(ids));
    return absl::OkStatus();
  }));
  return seeded;
}

absl::StatusOr<std::vector<Account>> SeedDevices(const std::string& database_url,
                                                 const std::vector<int64_t>& user_ids) {
  NewTokens tokens;
  std::vector<Account> seeded;
  for (const int64_t id : user_ids) {
    seeded.push_back({.user_id = id});
    tokens.AddTo(&seeded.back());
  }
  IM_RETURN_IF_ERROR(InTransaction(database_url, [&](pqxx::work& transaction) -> absl::Status {
    const pqxx::result rows = transaction.exec_params(kSeedDevices, pg::Array(user_ids),
                                                      tokens.families(), tokens.secrets());
    if (rows.size() != seeded.size()) return absl::NotFoundError("there is no such account");
    for (size_t i = 0; i < seeded.size(); ++i) {
      const pqxx::row row = rows[static_cast<pqxx::result::size_type>(i)];
      if (row["outcome"].as<std::string>() != "ok") {
        return absl::FailedPreconditionError("an account is locked, or has another password");
      }
      seeded[i].user_name = row["user_name"].as<std::string>();
    }
    return absl::OkStatus();
  }));
  return seeded;
}

absl::StatusOr<std::vector<int64_t>> SeedConversations(
    const std::string& database_url, const std::vector<NewConversation>& conversations) {
  std::vector<int64_t> ones, others, direct_places, founders, hashes, group_places;
  std::vector<std::string> members, contents;
  for (size_t i = 0; i < conversations.size(); ++i) {
    const std::vector<int64_t>& users = conversations[i].user_ids;
    const auto place = static_cast<int64_t>(i);
    if (!conversations[i].group) {
      ones.push_back(users.at(0));
      others.push_back(users.at(1));
      direct_places.push_back(place);
      continue;
    }
    chat::v1::GroupCreated created;
    created.set_title(kTitle);
    // As the service says it: who makes it last.
    for (size_t j = 1; j <= users.size(); ++j) created.add_user_ids(users[j % users.size()]);
    founders.push_back(users.at(0));
    members.push_back(pg::Array(users));
    contents.push_back(absl::BytesToHexString(created.SerializeAsString()));
    hashes.push_back(chat::HashRequest("CreateGroup", members.back()));
    group_places.push_back(place);
  }
  std::vector<int64_t> ids(conversations.size());
  IM_RETURN_IF_ERROR(InTransaction(database_url, [&](pqxx::work& transaction) -> absl::Status {
    const auto take = [&](const pqxx::result& rows) {
      for (const pqxx::row& row : rows) {
        ids[row["place"].as<size_t>()] = row["id"].as<int64_t>();
      }
    };
    take(transaction.exec_params(kSeedDirects, pg::Array(ones), pg::Array(others),
                                 pg::Array(direct_places)));
    take(transaction.exec_params(kSeedGroups, pg::Array(founders), pg::Array(hashes),
                                 pg::TextArray(members), pg::TextArray(contents),
                                 pg::Array(group_places), kTitle));
    return absl::OkStatus();
  }));
  return ids;
}

absl::Status SeedMessages(const std::string& database_url, const std::vector<int64_t>& ids,
                          int64_t each, const std::function<void(int64_t)>& told) {
  chat::v1::SendMessageRequest request;
  request.set_request_id(std::string(16, '.'));
  request.mutable_content()->mutable_text()->set_body(std::string(kBodyBytes, '.'));
  const std::string content = request.content().SerializeAsString();
  const auto most = static_cast<size_t>(kMessagesAtOnce);
  for (size_t first = 0; first < ids.size(); first += most) {
    const std::vector<int64_t> some(
        ids.begin() + static_cast<std::ptrdiff_t>(first),
        ids.begin() + static_cast<std::ptrdiff_t>(std::min(first + most, ids.size())));
    std::vector<int64_t> hashes;
    for (const int64_t id : some) {
      request.set_conversation_id(id);
      IM_ASSIGN_OR_RETURN(const auto item, chat::ParseSendRequest(request.SerializeAsString()));
      hashes.push_back(item.request_hash);
    }
    const auto many = static_cast<int64_t>(some.size());
    for (int64_t done = 0; done < each;) {
      const int64_t now = std::clamp<int64_t>(kMessagesAtOnce / many, 1, each - done);
      IM_RETURN_IF_ERROR(InTransaction(database_url, [&](pqxx::work& transaction) {
        transaction.exec_params(kSeedMessages, pg::Array(some), pg::Array(hashes),
                                pg::Bytes(content), now);
        return absl::OkStatus();
      }));
      done += now;
      told(now * many);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> LastSeqs(const std::string& database_url,
                                              const std::vector<int64_t>& conversation_ids) {
  std::vector<int64_t> seqs;
  IM_RETURN_IF_ERROR(InTransaction(database_url, [&](pqxx::work& transaction) -> absl::Status {
    for (const pqxx::row& row : transaction.exec_params(kLastSeqs, pg::Array(conversation_ids))) {
      seqs.push_back(row[0].as<int64_t>());
    }
    if (seqs.size() == conversation_ids.size()) return absl::OkStatus();
    return absl::NotFoundError("there is no such conversation");
  }));
  return seqs;
}

absl::StatusOr<Contents> CountContents(const std::string& database_url) {
  Contents contents;
  IM_RETURN_IF_ERROR(InTransaction(database_url, [&](pqxx::work& transaction) {
    const pqxx::row row = transaction.exec1(
        "SELECT (SELECT count(*) FROM chat.entries), (SELECT count(*) FROM auth.accounts)");
    contents = {row[0].as<int64_t>(), row[1].as<int64_t>()};
    return absl::OkStatus();
  }));
  return contents;
}

absl::Status Vacuum(const std::string& database_url) {
  try {
    pg::Session session(database_url);
    pqxx::nontransaction maintenance(session.connection());
    maintenance.exec("VACUUM ANALYZE chat.entries");
    maintenance.exec("VACUUM ANALYZE chat.conversations");
    maintenance.exec("VACUUM ANALYZE chat.members");
    maintenance.exec("VACUUM ANALYZE chat.users");
    maintenance.exec("VACUUM ANALYZE auth.devices");
    maintenance.exec("VACUUM ANALYZE auth.accounts");
  } catch (const std::exception& e) {
    return pg::StatusFromException(e, true);
  }
  return absl::OkStatus();
}

}  // namespace im::bench
