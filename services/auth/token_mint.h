// Makes the tokens of devices.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "common/token/token.h"
#include "services/auth/key_ring.h"
#include "services/auth/refresh_token.h"
#include "services/auth/values.h"

namespace im::auth {

struct TokenLives {
  std::chrono::minutes access{15};
  std::chrono::hours refresh{60 * 24};
};

// Thread-safe; does not block.
class TokenMint {
 public:
  // `keys` is not owned.
  TokenMint(const KeyRing* keys, TokenLives lives, token::Clock clock)
      : keys_(keys), lives_(lives), clock_(std::move(clock)) {}

  // Ask before a mutation whose answer needs tokens.
  absl::Status Ready() const { return keys_->Ready(); }

  // When a refresh token made now stops working.
  Time RefreshExpiry() const { return clock_() + lives_.refresh; }

  absl::StatusOr<TokenPair> Mint(int64_t user_id, int64_t device_id, const RefreshToken& refresh,
                                 Time refresh_expires_at) const;

 private:
  const KeyRing* const keys_;
  const TokenLives lives_;
  const token::Clock clock_;
};

}  // namespace im::auth
