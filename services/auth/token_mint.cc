#include "services/auth/token_mint.h"

#include "common/base/error.h"
#include "common/token/issuer.h"

namespace im::auth {

absl::StatusOr<TokenPair> TokenMint::Mint(int64_t user_id, int64_t device_id,
                                          const RefreshToken& refresh,
                                          Time refresh_expires_at) const {
  IM_ASSIGN_OR_RETURN(const SigningKey key, keys_->Current());
  // Whole seconds, as in the token.
  const Time now = std::chrono::floor<std::chrono::seconds>(clock_());
  const token::Claims claims = {user_id, device_id, now, now + lives_.access};
  IM_ASSIGN_OR_RETURN(const std::string access,
                      token::Issue(key.pair.id, key.pair.private_pem, claims));
  return TokenPair{access, claims.expires_at, refresh.Text(), refresh_expires_at, device_id};
}

}  // namespace im::auth
