#include "bench/seed.h"

#include <sodium.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "common/base/random.h"
#include "common/pg/pool.h"
#include "im/chat/v1/entries.pb.h"

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

// $1 conversation, $2 sender, $3 content, $4 how many. Kind 10 is a message; see the columns.
constexpr char kSeedMessages[] =
    "WITH place AS ("
    "  SELECT last_seq, last_count, last_at FROM chat.conversations WHERE id = $1 FOR UPDATE),"
    " stored AS ("
    "  INSERT INTO chat.entries (conversation_id, seq, sender_user_id, at, request_id,"
    "    request_hash, kind, content, count)"
    "  SELECT $1, last_seq + n, $2, last_at + n * interval '1 microsecond', gen_random_uuid(),"
    "    0, 10, $3, last_count + n FROM place, generate_series(1, $4::bigint) AS n),"
    " sent AS ("
    "  UPDATE chat.members SET sent_seq = last_seq + $4, read_seq = last_seq + $4,"
    "    delivered_seq = last_seq + $4, read_count = last_count + $4 FROM place"
    "  WHERE conversation_id = $1 AND user_id = $2 AND end_seq IS NULL)"
    " UPDATE chat.conversations AS c SET last_seq = place.last_seq + $4,"
    "   last_count = place.last_count + $4,"
    "   last_at = place.last_at + $4 * interval '1 microsecond'"
    " FROM place WHERE c.id = $1";
constexpr int64_t kMessagesAtOnce = 50'000;
constexpr size_t kBodyBytes = 100;

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

}  // namespace

absl::StatusOr<std::vector<Account>> SeedAccounts(const std::string& database_url,
                                                  const std::vector<NewAccount>& accounts) {
  if (sodium_init() < 0) return absl::UnavailableError("no source of randomness");
  const std::string hash = CheapHash();
  if (hash.empty()) return absl::ResourceExhaustedError("no memory to hash a password");
  std::vector<std::string> names, display_names, families, secrets;
  std::vector<Account> seeded;
  for (const NewAccount& account : accounts) {
    const std::string family = RandomBytes(kTokenPart), secret = RandomBytes(kTokenPart);
    names.push_back(account.user_name);
    display_names.push_back(account.display_name);
    families.push_back(absl::BytesToHexString(family));
    secrets.push_back(absl::BytesToHexString(secret));
    seeded.push_back({.user_name = account.user_name});
    seeded.back().tokens.set_refresh_token(absl::WebSafeBase64Escape(family + secret));
  }
  try {
    pg::Session session(database_url);
    pqxx::work transaction(session.connection());
    const pqxx::result rows =
        transaction.exec_params(kSeedAccounts, pg::TextArray(names), pg::TextArray(display_names),
                                pg::TextArray(families), pg::TextArray(secrets), hash);
    std::vector<int64_t> ids;
    for (const pqxx::row& row : rows) {
      if (row[0].is_null()) return absl::AlreadyExistsError("a user name is taken");
      ids.push_back(row[0].as<int64_t>());
      seeded[ids.size() - 1].user_id = ids.back();
    }
    transaction.exec_params(kOpenToAnyone, pg::Array(ids));
    transaction.commit();
  } catch (const std::exception& e) {
    return pg::StatusFromException(e, true);
  }
  return seeded;
}

absl::Status SeedMessages(const std::string& database_url, int64_t conversation_id,
                          int64_t sender_user_id, int64_t count,
                          const std::function<void(int64_t)>& told) {
  chat::v1::Content content;
  content.mutable_text()->set_body(std::string(kBodyBytes, '.'));
  const std::string bytes = content.SerializeAsString();
  try {
    pg::Session session(database_url);
    for (int64_t done = 0; done < count;) {
      const int64_t some = std::min(count - done, kMessagesAtOnce);
      pqxx::work transaction(session.connection());
      transaction.exec_params(kSeedMessages, conversation_id, sender_user_id, pg::Bytes(bytes),
                              some);
      transaction.commit();
      told(done += some);
    }
    // As it would be after having been filled day by day.
    pqxx::nontransaction maintenance(session.connection());
    maintenance.exec("VACUUM ANALYZE chat.entries");
  } catch (const std::exception& e) {
    return pg::StatusFromException(e, true);
  }
  return absl::OkStatus();
}

}  // namespace im::bench
