// Table presence.leases: which gateways may hold devices.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/pg/pool.h"

namespace im::presence {

// Thread-safe; blocks.
class PgLeases {
 public:
  explicit PgLeases(pg::Pool* pool) : pool_(pool) {}

  // From now on for `life`.
  absl::Status Renew(const std::vector<std::string>& gateways, std::chrono::milliseconds life);
  // Those of gateways that left in order; and those that expired long ago.
  absl::Status Delete(const std::vector<std::string>& gateways);
  // The gateways whose leases are live.
  absl::StatusOr<std::vector<std::string>> ListLive();

 private:
  pg::Pool* const pool_;
};

}  // namespace im::presence
