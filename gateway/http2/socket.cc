#include "gateway/http2/socket.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace im::gateway::http2 {
namespace {

class TlsSocket : public Socket {
 public:
  TlsSocket(int fd, SSL* tls) : Socket(fd), tls_(tls) { SSL_set_fd(tls_, fd); }
  ~TlsSocket() override {
    SayFarewell();
    SSL_free(tls_);
  }

  Io Handshake() override {
    ERR_clear_error();
    const Io done = Outcome(SSL_do_handshake(tls_));
    if (done != Io::kDone) return done;
    const unsigned char* protocol = nullptr;
    unsigned int length = 0;
    SSL_get0_alpn_selected(tls_, &protocol, &length);
    const bool http2 = length == 2 && memcmp(protocol, "h2", 2) == 0;
    return http2 ? Io::kDone : Io::kClosed;
  }
  Io Read(void* bytes, size_t size, size_t* count) override {
    ERR_clear_error();
    return Outcome(SSL_read_ex(tls_, bytes, size, count));
  }
  Io Write(const void* bytes, size_t size, size_t* count) override {
    ERR_clear_error();
    return Outcome(SSL_write_ex(tls_, bytes, size, count));
  }
  void Finish() override {
    SayFarewell();
    Socket::Finish();
  }
  bool holds_bytes() const override { return SSL_pending(tls_) > 0; }
  bool wants_write() const override { return wants_write_; }

 private:
  // Once, if there is room for it; the other side's is not waited for.
  void SayFarewell() {
    if (SSL_is_init_finished(tls_)) SSL_shutdown(tls_);
    ERR_clear_error();
    SSL_set_quiet_shutdown(tls_, 1);
    wants_write_ = false;
  }
  Io Outcome(int result) {
    wants_write_ = false;
    if (result > 0) return Io::kDone;
    switch (SSL_get_error(tls_, result)) {
      case SSL_ERROR_WANT_WRITE:
        wants_write_ = true;
        return Io::kWait;
      case SSL_ERROR_WANT_READ:
        return Io::kWait;
      default:
        // After a failure nothing more may be said, a farewell neither.
        SSL_set_quiet_shutdown(tls_, 1);
        return Io::kClosed;
    }
  }

  SSL* const tls_;
  bool wants_write_ = false;
};

}  // namespace

Socket::~Socket() { close(fd_); }

Socket::Io Socket::Read(void* bytes, size_t size, size_t* count) {
  ssize_t result = 0;
  do result = recv(fd_, bytes, size, 0);
  while (result < 0 && errno == EINTR);
  if (result > 0) {
    *count = static_cast<size_t>(result);
    return Io::kDone;
  }
  return result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? Io::kWait : Io::kClosed;
}

Socket::Io Socket::Write(const void* bytes, size_t size, size_t* count) {
  ssize_t result = 0;
  do result = send(fd_, bytes, size, MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  if (result >= 0) {
    *count = static_cast<size_t>(result);
    return Io::kDone;
  }
  return errno == EAGAIN || errno == EWOULDBLOCK ? Io::kWait : Io::kClosed;
}

void Socket::Finish() { shutdown(fd_, SHUT_WR); }

Socket::Io Socket::Discard(void* scratch, size_t size, size_t* count) {
  size_t taken = 0;
  const Io read = Socket::Read(scratch, size, &taken);
  *count += taken;
  return read;
}

std::unique_ptr<Socket> MakeTlsSocket(int fd, SSL* tls) {
  return std::make_unique<TlsSocket>(fd, tls);
}

}  // namespace im::gateway::http2
