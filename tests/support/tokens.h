// Access tokens without im-auth: a key of the test's own.
//
//   TestTokens tokens;
//   rpc::Router router(tokens.verifier().AsAuthenticate(), &workers);
//   context.AddMetadata("authorization", "Bearer " + tokens.Issue(/*user_id=*/1, /*device_id=*/2));
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "common/token/issuer.h"
#include "common/token/keys.h"
#include "common/token/verifier.h"

namespace im::testing {

class TestTokens {
 public:
  TestTokens() { verifier_.SetKeys(*token::ParseJwks(jwks())); }

  // A negative life makes a token that has expired.
  std::string Issue(int64_t user_id, int64_t device_id,
                    std::chrono::seconds life = std::chrono::minutes(15)) const {
    const auto now = std::chrono::system_clock::now();
    const auto token = token::Issue(
        key_.id, key_.private_pem,
        {.user_id = user_id, .device_id = device_id, .issued_at = now, .expires_at = now + life});
    if (!token.ok()) throw std::runtime_error(token.status().ToString());
    return *token;
  }

  void Revoke(int64_t device_id) { verifier_.Revoke(device_id, std::chrono::system_clock::now()); }

  token::Verifier& verifier() { return verifier_; }
  std::string jwks() const { return token::Jwks({key_.jwk}); }

 private:
  const token::KeyPair key_ = token::GenerateKeyPair();
  token::Verifier verifier_;
};

}  // namespace im::testing
