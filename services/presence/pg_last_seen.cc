#include "services/presence/pg_last_seen.h"

namespace im::presence {
namespace {

// In the order of ids, for another instance may write the same at the same time.
constexpr char kSave[] =
    "INSERT INTO presence.last_seen (user_id, at)"
    " SELECT user_id, timestamptz 'epoch' + micros * interval '1 microsecond'"
    " FROM unnest($1::bigint[], $2::bigint[]) AS given (user_id, micros) ORDER BY user_id"
    " ON CONFLICT (user_id) DO UPDATE SET at = excluded.at WHERE last_seen.at < excluded.at";

// By the primary key; as many as are asked for.
constexpr char kFind[] =
    "SELECT user_id, (extract(epoch FROM at) * 1000000)::bigint FROM presence.last_seen"
    " WHERE user_id = ANY ($1::bigint[])";

}  // namespace

absl::Status PgLastSeen::Save(const std::vector<std::pair<UserId, WallTime>>& seen) {
  std::vector<int64_t> users;
  std::vector<pg::Micros> times;
  for (const auto& [user, at] : seen) {
    users.push_back(user);
    times.push_back(
        std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count());
  }
  return pool_->Write(
      [&](pg::Session& session) { session.Exec(kSave, pg::Array(users), pg::Array(times)); });
}

absl::StatusOr<absl::flat_hash_map<UserId, WallTime>> PgLastSeen::Find(
    const std::vector<UserId>& users) {
  return pool_->Read([&](pg::Session& session) {
    absl::flat_hash_map<UserId, WallTime> found;
    for (const auto& row : session.Exec(kFind, pg::Array(users))) {
      found[row[0].as<int64_t>()] = WallTime(std::chrono::microseconds(row[1].as<pg::Micros>()));
    }
    return found;
  });
}

}  // namespace im::presence
