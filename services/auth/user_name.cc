#include "services/auth/user_name.h"

#include <sodium.h>

namespace im::auth {

std::string Fold(std::string_view text) {
  std::string folded(text);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return folded;
}

std::optional<std::string> ParseUserName(std::string_view name) {
  if (name.size() < 3 || name.size() > 32) return std::nullopt;
  std::string folded = Fold(name);
  for (const char c : folded) {
    const bool ok =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    if (!ok) return std::nullopt;
  }
  return folded;
}

std::string UserNameHash(std::string_view name) {
  const std::string folded = Fold(name);
  std::string hash(crypto_hash_sha256_BYTES, '\0');
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(hash.data()),
                     reinterpret_cast<const unsigned char*>(folded.data()), folded.size());
  return hash;
}

}  // namespace im::auth
