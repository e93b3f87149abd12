// The certificate that clients are shown.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/rpc/certificate_files.h"

namespace im::gateway::http2 {

// TLS 1.2 with forward secrecy and authenticated ciphers, and 1.3; HTTP/2 by ALPN; sessions are
// resumed by tickets. Follows the files. Thread-safe.
class TlsContext {
 public:
  static absl::StatusOr<std::unique_ptr<TlsContext>> Load(const std::string& certificate_file,
                                                          const std::string& key_file);

  // For a connection from now on; the caller's. Null when there is no memory.
  SSL* NewConnection();

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  using Context = std::unique_ptr<SSL_CTX, Free>;

  explicit TlsContext(std::shared_ptr<rpc::CertificateFiles> files) : files_(std::move(files)) {}
  static absl::StatusOr<Context> Make(const rpc::CertificateFiles::Pem& pem);

  const std::shared_ptr<rpc::CertificateFiles> files_;
  Mutex mu_;
  uint64_t seen_ IM_GUARDED_BY(mu_) = 0;
  Context context_ IM_GUARDED_BY(mu_);
};

}  // namespace im::gateway::http2
