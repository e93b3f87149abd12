#include "services/auth/nobody.h"

#include <sodium.h>

#include <algorithm>
#include <cmath>

#include "common/base/error.h"

namespace im::auth {
namespace {

// In [0, 1).
double Place(const std::string& name_hash, const std::string& key) {
  uint64_t hash = 0;
  static_assert(sizeof hash == crypto_shorthash_BYTES);
  crypto_shorthash(reinterpret_cast<unsigned char*>(&hash),
                   reinterpret_cast<const unsigned char*>(name_hash.data()), name_hash.size(),
                   reinterpret_cast<const unsigned char*>(key.data()));
  return std::ldexp(static_cast<double>(hash >> 11), -53);
}

}  // namespace

absl::Status Nobody::Reload() {
  IM_ASSIGN_OR_RETURN(HashingInUse in_use, store_->ReadHashingInUse());
  if (in_use.key.size() != crypto_shorthash_KEYBYTES)
    return absl::InternalError("a key of 16 bytes");
  // The parameters of now come first: as accounts change to them, names that nobody has do so too,
  // and none goes back.
  std::stable_partition(in_use.shares.begin(), in_use.shares.end(), [this](const auto& share) {
    return share.parameters == hasher_->parameters();
  });
  MutexLock lock(&mu_);
  in_use_ = std::move(in_use);
  return absl::OkStatus();
}

std::string Nobody::HashFor(const std::string& name_hash) const {
  MutexLock lock(&mu_);
  if (in_use_.shares.empty()) return UnmatchedHash(hasher_->parameters());
  int64_t accounts = 0;
  for (const auto& share : in_use_.shares) accounts += share.accounts;
  double place = Place(name_hash, in_use_.key) * static_cast<double>(accounts);
  for (const auto& share : in_use_.shares) {
    place -= static_cast<double>(share.accounts);
    if (place < 0) return UnmatchedHash(share.parameters);
  }
  return UnmatchedHash(in_use_.shares.back().parameters);
}

}  // namespace im::auth
