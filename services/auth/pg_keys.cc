#include "services/auth/pg_keys.h"

#include "common/pg/pool.h"
#include "services/auth/pg_values.h"

namespace im::auth {
namespace {

constexpr char kList[] =
    "SELECT key_id, private_pem, jwk, auth.micros(active_from) AS active_from"
    " FROM auth.signing_keys ORDER BY auth.signing_keys.active_from, key_id LIMIT 100";

constexpr char kAdd[] = "SELECT auth.add_key($1, $2, $3, auth.at($4), auth.at($5))";

constexpr char kRetire[] =
    "DELETE FROM auth.signing_keys k WHERE EXISTS ("
    " SELECT FROM auth.signing_keys s"
    " WHERE s.active_from > k.active_from AND s.active_from < auth.at($1))";

}  // namespace

absl::StatusOr<std::vector<SigningKey>> PgKeys::List() {
  return pool_->Read([](pg::Session& session) {
    std::vector<SigningKey> keys;
    for (const pqxx::row& row : session.Exec(kList)) {
      keys.push_back({{row["key_id"].as<std::string>(), row["private_pem"].as<std::string>(),
                       row["jwk"].as<std::string>()},
                      ReadTime(row["active_from"])});
    }
    return keys;
  });
}

absl::Status PgKeys::Add(const SigningKey& fresh, Time due_before) {
  return pool_->Write([&](pg::Session& session) {
    session.Exec(kAdd, fresh.pair.id, fresh.pair.private_pem, fresh.pair.jwk,
                 ToMicros(fresh.active_from), ToMicros(due_before));
  });
}

absl::Status PgKeys::Retire(Time gone_before) {
  return pool_->Write([&](pg::Session& session) { session.Exec(kRetire, ToMicros(gone_before)); });
}

}  // namespace im::auth
