// JSON Web Key Sets: refused, or keys that a token can be verified with.
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

#include "common/token/keys.h"
#include "common/token/verifier.h"
#include "tests/fuzz/check.h"

using im::fuzz::Check;

namespace {

void CheckKey(const im::token::PublicKey& key) {
  Check(!key.id.empty(), "a key has an id");
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(key.pem.data(), static_cast<int>(key.pem.size())), &BIO_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> parsed(
      PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  Check(parsed != nullptr && EVP_PKEY_get_base_id(parsed.get()) == EVP_PKEY_EC &&
            EVP_PKEY_get_bits(parsed.get()) == 256,
        "a key is one of P-256");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto keys = im::token::ParseJwks(im::fuzz::Bytes(data, size));
  if (!keys.ok()) return 0;
  for (const auto& key : *keys) CheckKey(key);
  im::token::Verifier verifier;
  verifier.SetKeys(*keys);
  Check(verifier.HasKeys() == !keys->empty(), "keys are known once they are given");
  return 0;
}
