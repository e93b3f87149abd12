#include "services/auth/pg_devices.h"

#include <limits>
#include <map>

#include "common/pg/pool.h"
#include "services/auth/pg_values.h"

namespace im::auth {
namespace {

constexpr char kRefresh[] =
    "SELECT outcome, user_id, device_id"
    " FROM auth.refresh(auth.at($1), $2, $3, $4, auth.at($5))";

// Index devices_of_user.
constexpr char kList[] =
    "SELECT device_id, name, platform, auth.micros(logged_in_at) AS logged_in_at,"
    " auth.micros(last_used_at) AS last_used_at"
    " FROM auth.devices"
    " WHERE user_id = $1 AND ended_at IS NULL AND refresh_expires_at > auth.at($2)"
    "   AND (last_used_at, device_id) < (auth.at($3), $4)"
    " ORDER BY last_used_at DESC, device_id DESC LIMIT $5";

constexpr char kEnd[] =
    "WITH ended AS ("
    "  UPDATE auth.devices SET ended_at = clock_timestamp()"
    "  WHERE device_id = $2 AND user_id = $1 AND ended_at IS NULL"
    "  RETURNING device_id, refresh_expires_at)"
    " SELECT d.device_id, e.device_id IS NOT NULL AS ended,"
    "   coalesce(e.refresh_expires_at > auth.at($3), false) AS logged_in"
    " FROM auth.devices d LEFT JOIN ended e USING (device_id)"
    " WHERE d.device_id = $2 AND d.user_id = $1";

constexpr char kEndOthers[] =
    "SELECT device_id, true AS ended, expires_at > auth.at($3) AS logged_in"
    " FROM auth.end_devices($1, $2)";

// Index devices_by_end.
constexpr char kRevocationsSince[] =
    "SELECT device_id, auth.micros(ended_at) AS ended_at FROM auth.devices"
    " WHERE ended_at > coalesce(auth.at($1), clock_timestamp() - $2 * interval '1 second')"
    " ORDER BY ended_at";
constexpr char kNow[] = "SELECT auth.micros(clock_timestamp())";

EndedDevices ReadEnded(const pqxx::result& rows) {
  EndedDevices devices;
  devices.found = !rows.empty();
  for (const pqxx::row& row : rows) {
    if (row["ended"].as<bool>()) devices.ended.push_back(row["device_id"].as<int64_t>());
    if (row["logged_in"].as<bool>()) ++devices.logged_in;
  }
  return devices;
}

}  // namespace

absl::StatusOr<RefreshResult> PgDevices::Refresh(const RefreshToken& token,
                                                 const RefreshToken& next, Time next_expires_at,
                                                 Time now) {
  static const std::map<std::string, RefreshOutcome> kOutcomes = {
      {"ok", RefreshOutcome::kOk},
      {"unknown", RefreshOutcome::kUnknown},
      {"reused", RefreshOutcome::kReused},
      {"account_locked", RefreshOutcome::kAccountLocked}};
  return pool_->Write([&](pg::Session& session) {
    const pqxx::row row = session
                              .Exec(kRefresh, ToMicros(now), pg::Bytes(token.FamilyHash()),
                                    pg::Bytes(token.SecretHash()), pg::Bytes(next.SecretHash()),
                                    ToMicros(next_expires_at))
                              .at(0);
    return RefreshResult{kOutcomes.at(row["outcome"].as<std::string>()),
                         row["user_id"].as<int64_t>(0), row["device_id"].as<int64_t>(0)};
  });
}

absl::StatusOr<std::vector<Device>> PgDevices::List(int64_t user_id,
                                                    const std::optional<DevicePosition>& after,
                                                    int limit, Time now) {
  return pool_->Read([&](pg::Session& session) {
    // Beyond all there are; year 9999 is as far as a timestamp is sure to go.
    const int64_t last_used = after ? ToMicros(after->last_used_at) : 253402300799000000;
    const int64_t device_id = after ? after->device_id : std::numeric_limits<int64_t>::max();
    std::vector<Device> devices;
    for (const pqxx::row& row :
         session.Exec(kList, user_id, ToMicros(now), last_used, device_id, limit)) {
      devices.push_back({row["device_id"].as<int64_t>(),
                         {row["name"].as<std::string>(), row["platform"].as<std::string>()},
                         ReadTime(row["logged_in_at"]),
                         ReadTime(row["last_used_at"])});
    }
    return devices;
  });
}

absl::StatusOr<EndedDevices> PgDevices::End(int64_t user_id, int64_t device_id, Time now) {
  return pool_->Write([&](pg::Session& session) {
    return ReadEnded(session.Exec(kEnd, user_id, device_id, ToMicros(now)));
  });
}

absl::StatusOr<EndedDevices> PgDevices::EndOthers(int64_t user_id, int64_t device_id, Time now) {
  return pool_->Write([&](pg::Session& session) {
    return ReadEnded(session.Exec(kEndOthers, user_id, device_id, ToMicros(now)));
  });
}

absl::StatusOr<Revocations> PgDevices::RevocationsSince(std::optional<Time> since,
                                                        std::chrono::seconds window) {
  return pool_->Read([&](pg::Session& session) {
    Revocations answer;
    // Read first, so that nothing falls between two polls.
    answer.now = ReadTime(session.Exec(kNow).at(0).at(0));
    const std::string since_micros = since ? std::to_string(ToMicros(*since)) : "";
    const char* parameter = since ? since_micros.c_str() : nullptr;
    for (const pqxx::row& row : session.Exec(kRevocationsSince, parameter, window.count())) {
      answer.revocations.push_back({row["device_id"].as<int64_t>(), ReadTime(row["ended_at"])});
    }
    return answer;
  });
}

}  // namespace im::auth
