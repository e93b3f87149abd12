// Keys for access tokens: ES256 (ECDSA on P-256 with SHA-256), as JSON Web Keys and as PEM.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace im::token {

// What a verifier needs.
struct PublicKey {
  std::string id;  // the "kid" of tokens and of the JWK
  std::string pem;
};

struct KeyPair {
  std::string id;
  std::string private_pem;
  // The public half as one JSON Web Key (RFC 7517).
  std::string jwk;
};

KeyPair GenerateKeyPair();

// {"keys":[...]} of single JWKs.
std::string Jwks(const std::vector<std::string>& jwks);

// Keys of a JSON Web Key Set. Keys of other kinds or uses are left out, which is no error.
absl::StatusOr<std::vector<PublicKey>> ParseJwks(std::string_view json);

}  // namespace im::token
