// Certificates for tests, good and bad ones.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <chrono>
#include <memory>
#include <string>

namespace im::testing {

// An authority of the test's own. Fails by exceptions.
class TestCa {
 public:
  TestCa();

  struct Pair {
    std::string certificate;
    std::string key;
  };
  // For "localhost", 127.0.0.1 or another DNS name; ends that long from now, which may be over.
  Pair Issue(const std::string& name, std::chrono::seconds life = std::chrono::hours(24)) const;
  std::string certificate() const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  using Certificate = std::unique_ptr<X509, Free>;

  static Certificate Make(const std::string& common_name, EVP_PKEY* key, std::chrono::seconds life);
  static void Extend(X509* certificate, int nid, const std::string& value);

  Key key_;
  Certificate certificate_;
};

// Replaces a file as `mv` does.
void WriteFile(const std::string& path, const std::string& text);

}  // namespace im::testing
