#include "common/token/verifier.h"

#include <jwt.h>
#include <sodium.h>

#include <algorithm>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "common/base/error.h"
#include "common/base/log.h"

namespace im::token {
namespace {

using std::chrono::system_clock;

// Ours have about 300.
constexpr size_t kMostTokenBytes = 4096;
// What the clock can tell, with room for kLeeway.
constexpr auto kLastSecond =
    std::chrono::floor<std::chrono::seconds>(system_clock::duration::max()) - kLeeway;
constexpr std::chrono::minutes kRevocationLife = kLongestLife + std::chrono::minutes(5);

struct FreeJwt {
  void operator()(jwt_t* jwt) const { jwt_free(jwt); }
};
using Jwt = std::unique_ptr<jwt_t, FreeJwt>;

// The signature is not looked at.
Jwt Decode(const std::string& token) {
  jwt_t* jwt = nullptr;
  if (jwt_decode(&jwt, token.c_str(), nullptr, 0) != 0) return nullptr;
  return Jwt(jwt);
}

// Of a token as in RFC 7515, section 3.1: header, claims and signature, with a dot between them.
// What is signed are the first two.
bool SignedBy(const Es256Key& key, std::string_view token) {
  if (std::count(token.begin(), token.end(), '.') != 2) return false;
  const size_t dot = token.rfind('.');
  const std::string_view encoded = token.substr(dot + 1);
  std::string signature;
  return absl::WebSafeBase64Unescape(absl::string_view(encoded.data(), encoded.size()),
                                     &signature) &&
         key.Verifies(token.substr(0, dot), signature);
}

std::string Text(const char* text) { return text == nullptr ? std::string() : text; }

bool HasTokenAlphabet(std::string_view token) {
  for (const char c : token) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || c == '.';
    if (!ok) return false;
  }
  return !token.empty();
}

std::string HashOf(std::string_view token) {
  std::string hash(crypto_generichash_BYTES, '\0');
  crypto_generichash(reinterpret_cast<unsigned char*>(hash.data()), hash.size(),
                     reinterpret_cast<const unsigned char*>(token.data()), token.size(), nullptr,
                     0);
  return hash;
}

}  // namespace

Verifier::Verifier(VerifierOptions options) : options_(std::move(options)) {}

rpc::Authenticate Verifier::AsAuthenticate() {
  return [this](std::string_view token) { return Verify(token); };
}

absl::StatusOr<rpc::Identity> Verifier::Verify(std::string_view access_token) {
  if (access_token.size() > kMostTokenBytes || !HasTokenAlphabet(access_token)) {
    return Error(Reason::TOKEN_INVALID);
  }
  const std::string hash = HashOf(access_token);
  uint64_t withdrawals = 0;
  {
    MutexLock lock(&mu_);
    withdrawals = withdrawals_;
    const auto found = remembered_by_hash_.find(hash);
    if (found != remembered_by_hash_.end()) {
      remembered_.splice(remembered_.begin(), remembered_, found->second);
      const rpc::Identity identity = found->second->identity;
      IM_RETURN_IF_ERROR(StillGood(identity));
      return identity;
    }
  }
  IM_ASSIGN_OR_RETURN(const rpc::Identity identity, Check(access_token));
  MutexLock lock(&mu_);
  IM_RETURN_IF_ERROR(StillGood(identity));
  // Else its key may be one that went meanwhile.
  if (withdrawals == withdrawals_) Remember(hash, identity);
  return identity;
}

// The signature and the claims; the lock is not held meanwhile.
absl::StatusOr<rpc::Identity> Verifier::Check(std::string_view access_token) {
  const Jwt jwt = Decode(std::string(access_token));
  // The algorithm is ours to say, never the token's: with "none" or an HMAC under the public key
  // anybody could sign.
  if (jwt == nullptr || Text(jwt_get_header(jwt.get(), "alg")) != "ES256") {
    return Error(Reason::TOKEN_INVALID);
  }
  const std::string key_id = Text(jwt_get_header(jwt.get(), "kid"));
  std::shared_ptr<const Es256Key> key;
  {
    MutexLock lock(&mu_);
    if (keys_.empty()) {
      return Error(Reason::SERVICE_UNAVAILABLE, "the keys of access tokens are not known yet",
                   {.retry_after = std::chrono::milliseconds(500)});
    }
    const auto found = keys_.find(key_id);
    if (found != keys_.end()) key = found->second.parsed;
  }
  if (key == nullptr) {
    MutexLock lock(&handler_mu_);
    if (unknown_key_handler_) unknown_key_handler_();
    return Error(Reason::TOKEN_INVALID);
  }
  if (!SignedBy(*key, access_token) || Text(jwt_get_grant(jwt.get(), "iss")) != kIssuer) {
    return Error(Reason::TOKEN_INVALID);
  }
  rpc::Identity identity;
  if (!absl::SimpleAtoi(Text(jwt_get_grant(jwt.get(), "sub")), &identity.user_id)) {
    return Error(Reason::TOKEN_INVALID);
  }
  identity.device_id = jwt_get_grant_int(jwt.get(), kDeviceClaim);
  const std::chrono::seconds expires_at(jwt_get_grant_int(jwt.get(), "exp"));
  // A claim that is missing or no number reads as zero.
  if (identity.user_id <= 0 || identity.device_id <= 0 || expires_at.count() <= 0 ||
      expires_at > kLastSecond) {
    return Error(Reason::TOKEN_INVALID);
  }
  identity.expires_at = system_clock::time_point(expires_at);
  return identity;
}

absl::Status Verifier::StillGood(const rpc::Identity& identity) const {
  if (revoked_.count(identity.device_id) > 0) return Error(Reason::DEVICE_REVOKED);
  if (options_.clock() > identity.expires_at + kLeeway) return Error(Reason::TOKEN_EXPIRED);
  return absl::OkStatus();
}

void Verifier::Remember(const std::string& hash, const rpc::Identity& identity) {
  if (remembered_by_hash_.count(hash) > 0) return;
  while (remembered_.size() >= options_.remembered && !remembered_.empty()) {
    remembered_by_hash_.erase(remembered_.back().hash);
    remembered_.pop_back();
  }
  remembered_.push_front({hash, identity});
  remembered_by_hash_[remembered_.front().hash] = remembered_.begin();
}

void Verifier::SetKeys(const std::vector<PublicKey>& keys) {
  std::unordered_map<std::string, Key> fresh;
  for (const PublicKey& key : keys) {
    auto parsed = Es256Key::FromPem(key.pem);
    if (parsed == nullptr) {
      Log(LogLevel::kError, "key_refused", {{"key", key.id}});
      continue;
    }
    fresh[key.id] = {key.pem, std::move(parsed)};
  }
  MutexLock lock(&mu_);
  bool gone = false;
  for (const auto& [id, key] : keys_) {
    const auto found = fresh.find(id);
    gone = gone || found == fresh.end() || found->second.pem != key.pem;
  }
  keys_.swap(fresh);
  // Which key a token was verified with is not kept: keys go once a month.
  if (gone) {
    ++withdrawals_;
    remembered_by_hash_.clear();
    remembered_.clear();
  }
}

bool Verifier::HasKeys() const {
  MutexLock lock(&mu_);
  return !keys_.empty();
}

bool Verifier::Revoke(int64_t device_id, system_clock::time_point at) {
  MutexLock lock(&mu_);
  ForgetOldRevocations();
  return revoked_.emplace(device_id, at).second;
}

bool Verifier::IsRevoked(int64_t device_id) const {
  MutexLock lock(&mu_);
  return revoked_.count(device_id) > 0;
}

void Verifier::ForgetOldRevocations() {
  const system_clock::time_point now = options_.clock();
  if (now < revocations_cleaned_at_ + std::chrono::minutes(1)) return;
  revocations_cleaned_at_ = now;
  for (auto entry = revoked_.begin(); entry != revoked_.end();) {
    entry = entry->second + kRevocationLife < now ? revoked_.erase(entry) : std::next(entry);
  }
}

void Verifier::SetUnknownKeyHandler(std::function<void()> handler) {
  MutexLock lock(&handler_mu_);
  unknown_key_handler_ = std::move(handler);
}

}  // namespace im::token
