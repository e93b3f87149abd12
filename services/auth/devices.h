// The devices of accounts: new tokens, lists, ends.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/token/token.h"
#include "services/auth/pg_devices.h"
#include "services/auth/revocation_feed.h"
#include "services/auth/token_mint.h"
#include "services/auth/values.h"

namespace im::auth {

struct DevicePage {
  std::vector<Device> devices;
  // Empty: the last one.
  std::string next_page_token;
};

// Thread-safe; blocks.
class Devices {
 public:
  // Nothing is owned.
  Devices(PgDevices* store, const TokenMint* mint, RevocationFeed* feed, token::Clock clock);

  absl::StatusOr<TokenPair> Refresh(std::string_view refresh_token);

  absl::StatusOr<DevicePage> List(int64_t user_id, int page_size, std::string_view page_token);

  // Returns how many were logged in.
  absl::StatusOr<int> End(int64_t user_id, int64_t device_id);
  absl::StatusOr<int> EndOthers(int64_t user_id, int64_t device_id);

 private:
  absl::StatusOr<TokenPair> RefreshUncounted(std::string_view refresh_token);

  PgDevices* const store_;
  const TokenMint* const mint_;
  RevocationFeed* const feed_;
  const token::Clock clock_;
};

}  // namespace im::auth
