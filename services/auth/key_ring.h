// The keys of access tokens: which one signs now, which ones verify, when the next one comes.
//
// A key signs for 30 days. Its successor is made 15 minutes before it signs, which is longer than
// anybody caches the key set; afterwards the old one stays until all its tokens are gone.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/token/token.h"
#include "common/token/verifier.h"
#include "services/auth/pg_keys.h"

namespace im::auth {

inline constexpr std::chrono::hours kKeyLife{30 * 24};
inline constexpr std::chrono::minutes kKeyAnnouncement{15};
// How long others may cache the key set.
inline constexpr std::chrono::seconds kKeySetMaxAge{300};

// Thread-safe. Knows nothing until the first Reload that succeeds, then goes on with what it has.
class KeyRing {
 public:
  // `verifier` gets the keys at each Reload. Neither is owned.
  KeyRing(PgKeys* store, token::Verifier* verifier, token::Clock clock);

  // Reads the keys; makes the first or next one when it is time. Blocks.
  absl::Status Reload() IM_EXCLUDES(mu_);

  // These fail with DATABASE_UNAVAILABLE while no keys are known.
  absl::Status Ready() const IM_EXCLUDES(mu_);
  absl::StatusOr<SigningKey> Current() const IM_EXCLUDES(mu_);
  absl::StatusOr<std::string> KeySet() const IM_EXCLUDES(mu_);

 private:
  bool IsDue(const std::vector<SigningKey>& keys, Time now) const;

  PgKeys* const store_;
  token::Verifier* const verifier_;
  const token::Clock clock_;

  mutable Mutex mu_;
  // By active_from.
  std::vector<SigningKey> keys_ IM_GUARDED_BY(mu_);
};

}  // namespace im::auth
