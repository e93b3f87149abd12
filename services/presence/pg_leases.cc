#include "services/presence/pg_leases.h"

namespace im::presence {
namespace {

// In the order of ids, for another instance may renew the same at the same time.
constexpr char kRenew[] =
    "INSERT INTO presence.leases (gateway_id, expires_at)"
    " SELECT gateway_id, clock_timestamp() + $2::bigint * interval '1 millisecond'"
    " FROM (SELECT DISTINCT unnest($1::text[]) AS gateway_id ORDER BY 1) AS given"
    " ON CONFLICT (gateway_id) DO UPDATE SET expires_at = excluded.expires_at";

// SKIP LOCKED: what another instance is deleting needs no second one, nor what it renews.
constexpr char kDelete[] =
    "DELETE FROM presence.leases WHERE gateway_id IN"
    " (SELECT gateway_id FROM presence.leases WHERE gateway_id = ANY ($1::text[])"
    "  OR expires_at < clock_timestamp() - interval '1 minute' FOR UPDATE SKIP LOCKED)";

// As many as there are gateways.
constexpr char kListLive[] =
    "SELECT gateway_id FROM presence.leases WHERE expires_at > clock_timestamp() LIMIT 10000";

}  // namespace

absl::Status PgLeases::Renew(const std::vector<std::string>& gateways,
                             std::chrono::milliseconds life) {
  return pool_->Write([&](pg::Session& session) {
    session.Exec(kRenew, pg::TextArray(gateways), static_cast<int64_t>(life.count()));
  });
}

absl::Status PgLeases::Delete(const std::vector<std::string>& gateways) {
  return pool_->Write(
      [&](pg::Session& session) { session.Exec(kDelete, pg::TextArray(gateways)); });
}

absl::StatusOr<std::vector<std::string>> PgLeases::ListLive() {
  return pool_->Read([&](pg::Session& session) {
    std::vector<std::string> live;
    for (const auto& row : session.Exec(kListLive)) live.push_back(row[0].as<std::string>());
    return live;
  });
}

}  // namespace im::presence
