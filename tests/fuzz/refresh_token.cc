// Refresh tokens: refused, or one of which the text is the only one.
#include "services/auth/refresh_token.h"

#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using im::auth::RefreshToken;
  using im::fuzz::Check;
  const auto token = RefreshToken::Parse(im::fuzz::Bytes(data, size));
  if (!token) return 0;
  const auto again = RefreshToken::Parse(token->Text());
  Check(again.has_value() && again->Text() == token->Text(), "a token is read back");
  Check(again->FamilyHash() == token->FamilyHash() && again->SecretHash() == token->SecretHash(),
        "and is the same");
  const RefreshToken next = token->Next();
  Check(next.FamilyHash() == token->FamilyHash(), "the next one is of the same device");
  Check(next.SecretHash() != token->SecretHash() && next.Text() != token->Text(),
        "and has a secret of its own");
  return 0;
}
