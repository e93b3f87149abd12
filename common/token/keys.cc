#include "common/token/keys.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <stdexcept>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/random.h"

namespace im::token {
namespace {

constexpr size_t kCoordinateBytes = 32;
constexpr size_t kPointBytes = 1 + 2 * kCoordinateBytes;

// A SubjectPublicKeyInfo of a P-256 key up to its point, which is the form byte 4, x and y.
constexpr unsigned char kDerPrefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                        0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Pkey = std::unique_ptr<EVP_PKEY, Free>;
using Bio = std::unique_ptr<BIO, Free>;

std::string Contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, size);
}

std::string Base64Url(std::string_view bytes) {
  return absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size()));
}

// Empty if the two are no point of the curve.
std::string PublicPem(const std::string& x, const std::string& y) {
  std::string der(reinterpret_cast<const char*>(kDerPrefix), sizeof kDerPrefix);
  der += '\x04';
  der += x;
  der += y;
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  const Pkey key(d2i_PUBKEY(nullptr, &bytes, static_cast<long>(der.size())));
  const Bio bio(BIO_new(BIO_s_mem()));
  if (key == nullptr || bio == nullptr || PEM_write_bio_PUBKEY(bio.get(), key.get()) != 1)
    return {};
  return Contents(bio.get());
}

std::string StringField(const google::protobuf::Struct& object, const char* name) {
  const auto found = object.fields().find(name);
  return found == object.fields().end() ? std::string() : found->second.string_value();
}

}  // namespace

KeyPair GenerateKeyPair() {
  const Pkey key(EVP_EC_gen("P-256"));
  const Bio bio(BIO_new(BIO_s_mem()));
  unsigned char* der = nullptr;
  const int der_size = key == nullptr ? -1 : i2d_PUBKEY(key.get(), &der);
  if (bio == nullptr || der_size != static_cast<int>(sizeof kDerPrefix + kPointBytes) ||
      PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    OPENSSL_free(der);
    throw std::runtime_error("OpenSSL cannot make a P-256 key");
  }
  const std::string_view point(reinterpret_cast<const char*>(der) + sizeof kDerPrefix + 1,
                               2 * kCoordinateBytes);
  KeyPair pair;
  pair.id = RandomHex(8);
  pair.private_pem = Contents(bio.get());
  pair.jwk = absl::StrCat(R"({"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":")", pair.id,
                          R"(","x":")", Base64Url(point.substr(0, kCoordinateBytes)), R"(","y":")",
                          Base64Url(point.substr(kCoordinateBytes)), R"("})");
  OPENSSL_free(der);
  return pair;
}

std::string Jwks(const std::vector<std::string>& jwks) {
  return absl::StrCat(R"({"keys":[)", absl::StrJoin(jwks, ","), "]}");
}

absl::StatusOr<std::vector<PublicKey>> ParseJwks(std::string_view json) {
  google::protobuf::Struct set;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &set);
  const auto list = set.fields().find("keys");
  if (!parsed.ok() || list == set.fields().end() || !list->second.has_list_value()) {
    return absl::InvalidArgumentError("not a JSON Web Key Set");
  }
  std::vector<PublicKey> keys;
  for (const auto& value : list->second.list_value().values()) {
    const auto& jwk = value.struct_value();
    if (StringField(jwk, "kty") != "EC" || StringField(jwk, "crv") != "P-256") continue;
    if (const std::string use = StringField(jwk, "use"); !use.empty() && use != "sig") continue;
    PublicKey key;
    key.id = StringField(jwk, "kid");
    std::string x, y;
    if (key.id.empty() || !absl::WebSafeBase64Unescape(StringField(jwk, "x"), &x) ||
        !absl::WebSafeBase64Unescape(StringField(jwk, "y"), &y) || x.size() != kCoordinateBytes ||
        y.size() != kCoordinateBytes) {
      return absl::InvalidArgumentError("a JSON Web Key that is not complete");
    }
    key.pem = PublicPem(x, y);
    if (key.pem.empty()) return absl::InvalidArgumentError("a JSON Web Key that is no key");
    keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace im::token
