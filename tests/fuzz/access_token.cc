// Access tokens: nobody comes in with one that was not signed, and of those that were only with
// sound claims.
#include <jwt.h>

#include <cstdlib>
#include <memory>

#include "common/base/error.h"
#include "common/rpc/call.h"
#include "common/token/issuer.h"
#include "common/token/verifier.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/token_key.h"

namespace im::token {
namespace {

using fuzz::Check;
using std::chrono::seconds;
using std::chrono::system_clock;

system_clock::time_point Now() { return system_clock::time_point(seconds(fuzz::kNow)); }

absl::StatusOr<rpc::Identity> Verify(std::string_view token) {
  Verifier verifier({.clock = Now, .remembered = 4});
  verifier.SetKeys({{fuzz::kKeyId, fuzz::kPublicPem}});
  const auto identity = verifier.Verify(token);
  // The second time it may be remembered.
  const auto again = verifier.Verify(token);
  Check(again.status().code() == identity.status().code(), "a token is judged the same again");
  if (!identity.ok()) {
    const auto reason = ReasonOf(identity.status());
    Check(reason == Reason::TOKEN_INVALID || reason == Reason::TOKEN_EXPIRED,
          "a refusal has its reason");
    return identity;
  }
  Check(again->user_id == identity->user_id && again->device_id == identity->device_id &&
            again->expires_at == identity->expires_at,
        "a remembered token speaks for the same");
  Check(identity->user_id > 0 && identity->device_id > 0, "a token speaks for somebody");
  Check(identity->expires_at + kLeeway >= Now(), "a token has not expired");
  verifier.Revoke(identity->device_id, Now());
  Check(ReasonOf(verifier.Verify(token).status()) == Reason::DEVICE_REVOKED,
        "a revoked device's token is refused");
  return identity;
}

// What a stranger sends.
void CheckForeign(std::string_view authorization) {
  const std::string_view token = rpc::BearerToken(authorization);
  Check(token.empty() || authorization == "Bearer " + std::string(token),
        "a bearer's token is all");
  const auto identity = Verify(token);
  // Only one set of claims was ever signed with the key.
  Check(!identity.ok() ||
            (identity->user_id == fuzz::kUserId && identity->device_id == fuzz::kDeviceId &&
             identity->expires_at == system_clock::time_point(seconds(fuzz::kExpiresAt))),
        "nobody comes in with what was not signed");
}

void CheckIssued(fuzz::Input* input) {
  const auto user = input->Signed();
  const auto device = input->Signed();
  const auto life = seconds(static_cast<int32_t>(input->Number(4)));
  const auto token = Issue(fuzz::kKeyId, fuzz::kPrivatePem, {user, device, Now(), Now() + life});
  Check(token.ok(), "a token can be issued");
  const auto identity = Verify(*token);
  Check(identity.ok() == (user > 0 && device > 0 && life >= -kLeeway),
        "what im-auth signs is taken while it lasts");
  if (identity.ok()) {
    Check(identity->user_id == user && identity->device_id == device &&
              identity->expires_at == Now() + life,
          "and speaks for whom it was issued");
  }
}

// Signed with the key, but with claims of any kind.
void CheckClaims(const std::string& claims) {
  jwt_t* raw = nullptr;
  Check(jwt_new(&raw) == 0, "there is memory");
  const std::unique_ptr<jwt_t, decltype(&jwt_free)> jwt(raw, &jwt_free);
  const std::string pem = fuzz::kPrivatePem;
  if (jwt_add_grants_json(raw, claims.c_str()) != 0) return;
  jwt_add_header(raw, "kid", fuzz::kKeyId);
  jwt_set_alg(raw, JWT_ALG_ES256, reinterpret_cast<const unsigned char*>(pem.data()),
              static_cast<int>(pem.size()));
  const std::unique_ptr<char, decltype(&std::free)> token(jwt_encode_str(raw), &std::free);
  if (token == nullptr || !Verify(token.get()).ok()) return;
  const char* issuer = jwt_get_grant(raw, "iss");
  Check(issuer != nullptr && std::string(issuer) == kIssuer, "a token is one of ours");
}

}  // namespace
}  // namespace im::token

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  im::fuzz::Input input(data, size);
  switch (input.Byte() % 4) {
    case 0:
      im::token::CheckIssued(&input);
      break;
    case 1:
      im::token::CheckClaims(std::string(input.rest()));
      break;
    default:
      im::token::CheckForeign(input.rest());
  }
  return 0;
}
