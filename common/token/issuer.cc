#include "common/token/issuer.h"

#include <jwt.h>

#include <cstdlib>
#include <memory>

#include "common/token/token.h"

namespace im::token {
namespace {

struct FreeJwt {
  void operator()(jwt_t* jwt) const { jwt_free(jwt); }
};

long Seconds(std::chrono::system_clock::time_point time) {
  return static_cast<long>(
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

}  // namespace

absl::StatusOr<std::string> Issue(const std::string& key_id, const std::string& private_pem,
                                  const Claims& claims) {
  jwt_t* raw = nullptr;
  if (jwt_new(&raw) != 0) return absl::InternalError("no memory for a token");
  const std::unique_ptr<jwt_t, FreeJwt> jwt(raw);
  const bool complete =
      jwt_add_header(raw, "kid", key_id.c_str()) == 0 && jwt_add_grant(raw, "iss", kIssuer) == 0 &&
      jwt_add_grant(raw, "sub", std::to_string(claims.user_id).c_str()) == 0 &&
      jwt_add_grant_int(raw, kDeviceClaim, claims.device_id) == 0 &&
      jwt_add_grant_int(raw, "iat", Seconds(claims.issued_at)) == 0 &&
      jwt_add_grant_int(raw, "exp", Seconds(claims.expires_at)) == 0 &&
      jwt_set_alg(raw, JWT_ALG_ES256, reinterpret_cast<const unsigned char*>(private_pem.data()),
                  static_cast<int>(private_pem.size())) == 0;
  const std::unique_ptr<char, decltype(&std::free)> text(complete ? jwt_encode_str(raw) : nullptr,
                                                         &std::free);
  if (text == nullptr) return absl::InternalError("cannot sign a token with key " + key_id);
  return std::string(text.get());
}

}  // namespace im::token
