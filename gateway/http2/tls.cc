#include "gateway/http2/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <cstring>

#include "common/base/error.h"
#include "common/base/log.h"

namespace im::gateway::http2 {
namespace {

std::string TlsError() {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  ERR_clear_error();
  return text;
}

int ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* length,
                   const unsigned char* offered, unsigned int size, void*) {
  for (unsigned int i = 0; i < size; i += 1u + offered[i]) {
    if (offered[i] == 2 && i + 2 < size && memcmp(offered + i + 1, "h2", 2) == 0) {
      *chosen = offered + i + 1;
      *length = 2;
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Puts certificate, chain and key in; false: the error queue says why not.
bool Use(const rpc::CertificateFiles::Pem& pem, SSL_CTX* context) {
  const auto open = [](const std::string& text) {
    return std::unique_ptr<BIO, decltype(&BIO_free)>(
        BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free);
  };
  const auto certificates = open(pem.certificate);
  X509* const leaf = PEM_read_bio_X509_AUX(certificates.get(), nullptr, nullptr, nullptr);
  const bool used = leaf != nullptr && SSL_CTX_use_certificate(context, leaf) == 1;
  X509_free(leaf);
  if (!used) return false;
  while (X509* const next = PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return false;
    }
  }
  // That there are no more is an error, too.
  ERR_clear_error();
  const auto key_text = open(pem.key);
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr);
  const bool keyed = key != nullptr && SSL_CTX_use_PrivateKey(context, key) == 1;
  EVP_PKEY_free(key);
  return keyed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Load(const std::string& certificate_file,
                                                             const std::string& key_file) {
  IM_ASSIGN_OR_RETURN(auto files, rpc::CertificateFiles::Load({certificate_file, key_file, {}}));
  std::unique_ptr<TlsContext> tls(new TlsContext(std::move(files)));
  MutexLock lock(&tls->mu_);
  rpc::CertificateFiles::Pem pem;
  tls->files_->TakeNewer(&tls->seen_, &pem);
  IM_ASSIGN_OR_RETURN(tls->context_, Make(pem));
  return tls;
}

absl::StatusOr<TlsContext::Context> TlsContext::Make(const rpc::CertificateFiles::Pem& pem) {
  Context context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return absl::InternalError(TlsError());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // Of TLS 1.2; those of 1.3 are all good.
  SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_PRIORITIZE_CHACHA);
  // An idle connection gives its buffers back.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_select_cb(context.get(), ChooseProtocol, nullptr);
  // Tickets only, and one is enough to come back with: the server remembers no sessions.
  SSL_CTX_set_num_tickets(context.get(), 1);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  if (!Use(pem, context.get())) return absl::FailedPreconditionError(TlsError());
  return context;
}

SSL* TlsContext::NewConnection() {
  MutexLock lock(&mu_);
  rpc::CertificateFiles::Pem pem;
  if (files_->TakeNewer(&seen_, &pem)) {
    auto context = Make(pem);
    if (context.ok()) {
      context_ = *std::move(context);
    } else {
      Log(LogLevel::kError, "certificate_refused", {{"what", Describe(context.status())}});
    }
  }
  SSL* const tls = SSL_new(context_.get());
  if (tls != nullptr) SSL_set_accept_state(tls);
  return tls;
}

}  // namespace im::gateway::http2
