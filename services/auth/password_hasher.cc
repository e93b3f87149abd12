#include "services/auth/password_hasher.h"

#include <sodium.h>

#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/base/random.h"

namespace im::auth {
namespace {

prometheus::Counter& RunsCounter() {
  static auto& counter =
      CounterFamily("im_auth_password_hashes_total", "Argon2id hashes computed.").Add({});
  return counter;
}

}  // namespace

PasswordHasher::PasswordHasher(const HashingOptions& options)
    : passes_(options.passes), memory_bytes_(static_cast<size_t>(options.memory_kib) * 1024) {}

absl::StatusOr<std::unique_ptr<PasswordHasher>> PasswordHasher::Create(
    const HashingOptions& options) {
  std::unique_ptr<PasswordHasher> hasher(new PasswordHasher(options));
  IM_ASSIGN_OR_RETURN(hasher->nobodys_hash_, hasher->Hash(RandomHex(16)));
  return hasher;
}

absl::StatusOr<std::string> PasswordHasher::Hash(const std::string& password) {
  ++runs_;
  RunsCounter().Increment();
  char text[crypto_pwhash_STRBYTES] = {};
  if (crypto_pwhash_str(text, password.data(), password.size(), passes_, memory_bytes_) != 0) {
    return Error(Reason::OVERLOADED, "no memory to hash a password",
                 {.retry_after = std::chrono::milliseconds(1000)});
  }
  return std::string(text);
}

bool PasswordHasher::Matches(const std::string& hash, const std::string& password) {
  ++runs_;
  RunsCounter().Increment();
  return crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0;
}

bool PasswordHasher::MatchesNobody(const std::string& password) {
  return Matches(nobodys_hash_, password);
}

bool PasswordHasher::IsOutdated(const std::string& hash) const {
  return crypto_pwhash_str_needs_rehash(hash.c_str(), passes_, memory_bytes_) != 0;
}

}  // namespace im::auth
