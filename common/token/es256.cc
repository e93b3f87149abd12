#include "common/token/es256.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>

namespace im::token {
namespace {

constexpr int kNumberBytes = 32;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// The form that OpenSSL takes signatures in; empty if there is no memory.
std::string Der(std::string_view signature) {
  const Owned<ECDSA_SIG> both(ECDSA_SIG_new());
  Owned<BIGNUM> r(BN_bin2bn(Bytes(signature), kNumberBytes, nullptr));
  Owned<BIGNUM> s(BN_bin2bn(Bytes(signature) + kNumberBytes, kNumberBytes, nullptr));
  if (both == nullptr || r == nullptr || s == nullptr) return {};
  ECDSA_SIG_set0(both.get(), r.release(), s.release());
  const int size = i2d_ECDSA_SIG(both.get(), nullptr);
  if (size <= 0) return {};
  std::string der(static_cast<size_t>(size), '\0');
  auto* end = reinterpret_cast<unsigned char*>(der.data());
  if (i2d_ECDSA_SIG(both.get(), &end) != size) return {};
  return der;
}

}  // namespace

std::shared_ptr<const Es256Key> Es256Key::FromPem(const std::string& pem) {
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  EVP_PKEY* const key =
      bio == nullptr ? nullptr : PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr);
  ERR_clear_error();
  if (key == nullptr) return nullptr;
  char group[32] = "";
  EVP_PKEY_get_group_name(key, group, sizeof group, nullptr);
  std::shared_ptr<const Es256Key> made(new Es256Key(key));
  return std::string_view(group) == "prime256v1" ? made : nullptr;
}

bool Es256Key::Verifies(std::string_view text, std::string_view signature) const {
  if (signature.size() != 2 * kNumberBytes) return false;
  const std::string der = Der(signature);
  const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  const bool good =
      !der.empty() && context != nullptr &&
      EVP_DigestVerifyInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr, key_.get(),
                              nullptr) == 1 &&
      EVP_DigestVerify(context.get(), Bytes(der), der.size(), Bytes(text), text.size()) == 1;
  ERR_clear_error();
  return good;
}

}  // namespace im::token
