#include "services/auth/key_ring.h"

#include "common/base/error.h"
#include "common/base/log.h"

namespace im::auth {
namespace {

// Tokens of a key that has a successor for this long have expired.
constexpr std::chrono::minutes kRetirement = token::kLongestLife + std::chrono::minutes(5);

absl::Status NoKeys() {
  return Error(Reason::DATABASE_UNAVAILABLE, "the signing keys could not be read yet",
               {.retry_after = std::chrono::milliseconds(1000)});
}

std::string KeySetOf(const std::vector<SigningKey>& keys) {
  std::vector<std::string> jwks;
  for (const SigningKey& key : keys) jwks.push_back(key.pair.jwk);
  return token::Jwks(jwks);
}

}  // namespace

KeyRing::KeyRing(PgKeys* store, token::Verifier* verifier, token::Clock clock)
    : store_(store), verifier_(verifier), clock_(std::move(clock)) {}

bool KeyRing::IsDue(const std::vector<SigningKey>& keys, Time now) const {
  return keys.empty() || keys.back().active_from <= now - kKeyLife + kKeyAnnouncement;
}

absl::Status KeyRing::Reload() {
  IM_ASSIGN_OR_RETURN(std::vector<SigningKey> keys, store_->List());
  const Time now = clock_();
  if (IsDue(keys, now)) {
    // The first key signs at once: nobody can have cached a set without it.
    const SigningKey fresh = {token::GenerateKeyPair(),
                              keys.empty() ? now : now + kKeyAnnouncement};
    IM_RETURN_IF_ERROR(store_->Add(fresh, now - kKeyLife + kKeyAnnouncement));
    IM_ASSIGN_OR_RETURN(keys, store_->List());
    Log(LogLevel::kInfo, "signing_keys_rotated", {{"keys", keys.size()}});
  }
  if (keys.size() > 1 && keys[1].active_from < now - kRetirement) {
    IM_RETURN_IF_ERROR(store_->Retire(now - kRetirement));
    IM_ASSIGN_OR_RETURN(keys, store_->List());
  }
  IM_ASSIGN_OR_RETURN(const std::vector<token::PublicKey> public_keys,
                      token::ParseJwks(KeySetOf(keys)));
  verifier_->SetKeys(public_keys);
  MutexLock lock(&mu_);
  keys_ = std::move(keys);
  return absl::OkStatus();
}

absl::Status KeyRing::Ready() const {
  MutexLock lock(&mu_);
  return keys_.empty() ? NoKeys() : absl::OkStatus();
}

absl::StatusOr<SigningKey> KeyRing::Current() const {
  const Time now = clock_();
  MutexLock lock(&mu_);
  if (keys_.empty()) return NoKeys();
  // If none is active yet, the clock of the instance that made the first is ahead of ours.
  size_t current = 0;
  for (size_t i = 1; i < keys_.size(); ++i) {
    if (keys_[i].active_from <= now) current = i;
  }
  return keys_[current];
}

absl::StatusOr<std::string> KeyRing::KeySet() const {
  MutexLock lock(&mu_);
  if (keys_.empty()) return NoKeys();
  return KeySetOf(keys_);
}

}  // namespace im::auth
