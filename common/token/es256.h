// ES256 (RFC 7518, section 3.4: ECDSA on P-256 with SHA-256) with keys that are read once. libjwt
// reads a key's PEM for every token, which takes OpenSSL 3 five times as long as the signature.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>

namespace im::token {

// Thread-safe.
class Es256Key {
 public:
  // Null if that is no public key of P-256.
  static std::shared_ptr<const Es256Key> FromPem(const std::string& pem);

  // `signature`: r and s, 32 bytes each.
  bool Verifies(std::string_view text, std::string_view signature) const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  explicit Es256Key(EVP_PKEY* key) : key_(key) {}

  const std::unique_ptr<EVP_PKEY, Free> key_;
};

}  // namespace im::token
