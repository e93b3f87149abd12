// Table presence.last_seen: when people were here last.
#pragma once

#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/pg/pool.h"
#include "services/presence/status.h"

namespace im::presence {

// Thread-safe; blocks.
class PgLastSeen {
 public:
  explicit PgLastSeen(pg::Pool* pool) : pool_(pool) {}

  // Never moves a time back, so that writing twice is harmless.
  absl::Status Save(const std::vector<std::pair<UserId, WallTime>>& seen);
  // Of those who were ever seen.
  absl::StatusOr<absl::flat_hash_map<UserId, WallTime>> Find(const std::vector<UserId>& users);

 private:
  pg::Pool* const pool_;
};

}  // namespace im::presence
