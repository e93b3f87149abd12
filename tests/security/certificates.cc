#include "tests/security/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "common/base/random.h"

namespace im::testing {
namespace {

void Must(bool done, const char* what) {
  if (!done) throw std::runtime_error(what);
}

template <typename Write>
std::string ToPem(const Write& write) {
  BIO* const bio = BIO_new(BIO_s_mem());
  Must(write(bio) == 1, "PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

}  // namespace

TestCa::TestCa() : key_(EVP_EC_gen("P-256")) {
  certificate_ = Make("Test authority " + RandomHex(4), key_.get(), std::chrono::hours(24));
  Must(X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get())) == 1,
       "issuer");
  Extend(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  Extend(certificate_.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  Must(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) > 0, "sign");
}

TestCa::Certificate TestCa::Make(const std::string& common_name, EVP_PKEY* key,
                                 std::chrono::seconds life) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()),
                          std::stoull(RandomHex(7), nullptr, 16));
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -24 * 3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), life.count());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  Must(X509_set_pubkey(certificate.get(), key) == 1, "key");
  return certificate;
}

void TestCa::Extend(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  Must(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, "extension");
  X509_EXTENSION_free(extension);
}

TestCa::Pair TestCa::Issue(const std::string& name, std::chrono::seconds life) const {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate = Make(name, key.get(), life);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_.get()));
  const bool is_address = name.find_first_not_of("0123456789.") == std::string::npos;
  Extend(certificate.get(), NID_subject_alt_name, (is_address ? "IP:" : "DNS:") + name);
  Must(X509_sign(certificate.get(), key_.get(), EVP_sha256()) > 0, "sign");
  return {ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }),
          ToPem([&](BIO* bio) {
            return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

std::string TestCa::certificate() const {
  return ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path + ".new", std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  Must(file.good(), "write");
  std::filesystem::rename(path + ".new", path);
}

}  // namespace im::testing
