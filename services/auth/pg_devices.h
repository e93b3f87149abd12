// The devices of accounts, on PostgreSQL.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/auth/refresh_token.h"
#include "services/auth/values.h"

namespace im::pg {
class Pool;
}

namespace im::auth {

enum class RefreshOutcome { kOk, kUnknown, kReused, kAccountLocked };

struct RefreshResult {
  RefreshOutcome outcome = RefreshOutcome::kUnknown;
  // Zero for kUnknown.
  int64_t user_id = 0;
  int64_t device_id = 0;
};

struct DevicePosition {
  Time last_used_at;
  int64_t device_id = 0;
};

struct EndedDevices {
  // Whether the account ever had the device.
  bool found = false;
  // Those that this call ended.
  std::vector<int64_t> ended;
  // How many of them were logged in, and not just left to expire.
  int logged_in = 0;
};

struct Revocations {
  std::vector<Revocation> revocations;
  // The database's clock.
  Time now;
};

// Thread-safe; blocks. Each method is one statement.
class PgDevices {
 public:
  // Not owned.
  explicit PgDevices(pg::Pool* pool) : pool_(pool) {}

  absl::StatusOr<RefreshResult> Refresh(const RefreshToken& token, const RefreshToken& next,
                                        Time next_expires_at, Time now);

  // Those that are logged in, the one used last first, after a position.
  absl::StatusOr<std::vector<Device>> List(int64_t user_id,
                                           const std::optional<DevicePosition>& after, int limit,
                                           Time now);

  absl::StatusOr<EndedDevices> End(int64_t user_id, int64_t device_id, Time now);
  absl::StatusOr<EndedDevices> EndOthers(int64_t user_id, int64_t device_id, Time now);

  // By the database's clock; nullopt: since `window` ago.
  absl::StatusOr<Revocations> RevocationsSince(std::optional<Time> since,
                                               std::chrono::seconds window);

 private:
  pg::Pool* const pool_;
};

}  // namespace im::auth
