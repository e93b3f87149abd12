#include "services/auth/refresh_token.h"

#include <sodium.h>

#include "absl/strings/escaping.h"
#include "common/base/random.h"

namespace im::auth {
namespace {

constexpr size_t kPartBytes = 16;

// Random input of 128 bits needs no salt and no slow hash.
std::string Sha256(const std::string& bytes) {
  std::string hash(crypto_hash_sha256_BYTES, '\0');
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(hash.data()),
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  return hash;
}

}  // namespace

RefreshToken::RefreshToken(std::string family, std::string secret)
    : family_(std::move(family)), secret_(std::move(secret)) {}

RefreshToken RefreshToken::New() { return {RandomBytes(kPartBytes), RandomBytes(kPartBytes)}; }

RefreshToken RefreshToken::Next() const { return {family_, RandomBytes(kPartBytes)}; }

std::optional<RefreshToken> RefreshToken::Parse(std::string_view text) {
  std::string bytes;
  if (text.size() > 64 ||
      !absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &bytes) ||
      bytes.size() != 2 * kPartBytes) {
    return std::nullopt;
  }
  return RefreshToken(bytes.substr(0, kPartBytes), bytes.substr(kPartBytes));
}

std::string RefreshToken::Text() const { return absl::WebSafeBase64Escape(family_ + secret_); }
std::string RefreshToken::FamilyHash() const { return Sha256(family_); }
std::string RefreshToken::SecretHash() const { return Sha256(secret_); }

}  // namespace im::auth
