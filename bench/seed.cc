#include "bench/seed.h"

#include <sodium.h>

#include "absl/strings/escaping.h"
#include "common/base/random.h"
#include "common/pg/pool.h"

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

}  // namespace im::bench
