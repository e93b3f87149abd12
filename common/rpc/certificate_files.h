// The certificate, key and callers' CA of a server, in PEM files that may be replaced while it
// runs.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/workers.h"

namespace im::rpc {

struct CertificatePaths {
  std::string certificate;  // with its chain
  std::string key;
  std::string client_ca;  // empty: callers need no certificate
};

// Looks at the files once a second. A new set is in force once all of it can be used: certificates
// and key are whole and belong together; until then the last good one stays, and the log says why.
// Thread-safe.
class CertificateFiles {
 public:
  struct Pem {
    std::string certificate;
    std::string key;
    std::string client_ca;
    bool operator==(const Pem&) const = default;
  };

  // Fails if the files cannot be read or used.
  static absl::StatusOr<std::shared_ptr<CertificateFiles>> Load(CertificatePaths paths);

  // What is in force, if it is another than the `seen`-th; then `seen` becomes its number. The
  // first is number 1.
  bool TakeNewer(uint64_t* seen, Pem* pem) const;

 private:
  explicit CertificateFiles(CertificatePaths paths) : paths_(std::move(paths)) {}

  absl::StatusOr<Pem> Read() const;
  void Look();

  const CertificatePaths paths_;
  mutable Mutex mu_;
  Pem pem_ IM_GUARDED_BY(mu_);
  uint64_t number_ IM_GUARDED_BY(mu_) = 1;
  // What was wrong at the last look, and whether the log says so: files are not replaced all at
  // once.
  std::string complaint_ IM_GUARDED_BY(mu_);
  bool complained_ IM_GUARDED_BY(mu_) = false;
  std::unique_ptr<Ticker> ticker_;
};

}  // namespace im::rpc
