#include "common/rpc/certificate_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"

namespace im::rpc {
namespace {

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* thing) const { Free(thing); }
};
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

Bio ReadOnly(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return text.str();
}

// All of a file; one that is cut off, or holds none, is an error.
absl::StatusOr<std::vector<Certificate>> ParseCertificates(const std::string& path,
                                                           const std::string& pem) {
  const Bio bio = ReadOnly(pem);
  std::vector<Certificate> certificates;
  ERR_clear_error();
  while (X509* const next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(next);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (certificates.empty() || !at_end) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no PEM file of certificates"));
  }
  return certificates;
}

// Keys with a passphrase would have to be asked for.
int NoPassphrase(char*, int, int, void*) { return 0; }

absl::Status Check(const CertificatePaths& paths, const CertificateFiles::Pem& pem) {
  IM_ASSIGN_OR_RETURN(const std::vector<Certificate> chain,
                      ParseCertificates(paths.certificate, pem.certificate));
  const Key key(PEM_read_bio_PrivateKey(ReadOnly(pem.key).get(), nullptr, NoPassphrase, nullptr));
  const bool fits = key != nullptr && X509_check_private_key(chain.front().get(), key.get()) == 1;
  ERR_clear_error();
  if (key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(paths.key, " is no PEM file of a private key"));
  }
  if (!fits) {
    return absl::InvalidArgumentError(
        absl::StrCat(paths.key, " is not the key of ", paths.certificate));
  }
  if (paths.client_ca.empty()) return absl::OkStatus();
  return ParseCertificates(paths.client_ca, pem.client_ca).status();
}

std::string ExpiryOf(const std::string& certificate) {
  const Certificate first(
      PEM_read_bio_X509(ReadOnly(certificate).get(), nullptr, nullptr, nullptr));
  std::tm utc{};
  char text[32];
  if (first == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(first.get()), &utc) != 1 ||
      std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
    return "unknown";
  }
  return text;
}

}  // namespace

absl::StatusOr<std::shared_ptr<CertificateFiles>> CertificateFiles::Load(CertificatePaths paths) {
  std::shared_ptr<CertificateFiles> files(new CertificateFiles(std::move(paths)));
  {
    MutexLock lock(&files->mu_);
    IM_ASSIGN_OR_RETURN(files->pem_, files->Read());
  }
  files->ticker_ =
      std::make_unique<Ticker>(std::chrono::seconds(1), [raw = files.get()] { raw->Look(); });
  return files;
}

absl::StatusOr<CertificateFiles::Pem> CertificateFiles::Read() const {
  Pem pem;
  IM_ASSIGN_OR_RETURN(pem.certificate, ReadFile(paths_.certificate));
  IM_ASSIGN_OR_RETURN(pem.key, ReadFile(paths_.key));
  if (!paths_.client_ca.empty()) {
    IM_ASSIGN_OR_RETURN(pem.client_ca, ReadFile(paths_.client_ca));
  }
  IM_RETURN_IF_ERROR(Check(paths_, pem));
  return pem;
}

void CertificateFiles::Look() {
  const absl::StatusOr<Pem> found = Read();
  MutexLock lock(&mu_);
  if (!found.ok()) {
    const std::string complaint(found.status().message());
    if (complaint != complaint_) {
      complaint_ = complaint;
      complained_ = false;
    } else if (!complained_) {
      complained_ = true;
      Log(LogLevel::kWarning, "certificate_not_taken",
          {{"what", complaint}, {"kept", ExpiryOf(pem_.certificate)}});
    }
    return;
  }
  complaint_.clear();
  if (*found == pem_) return;
  pem_ = *found;
  ++number_;
  Log(LogLevel::kInfo, "certificate_taken",
      {{"file", paths_.certificate}, {"expires", ExpiryOf(pem_.certificate)}});
}

bool CertificateFiles::TakeNewer(uint64_t* seen, Pem* pem) const {
  MutexLock lock(&mu_);
  if (*seen == number_) return false;
  *seen = number_;
  *pem = pem_;
  return true;
}

}  // namespace im::rpc
