// Bytes to and from one client, in plaintext or TLS, never blocking.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>

namespace im::gateway::http2 {

// One thread at a time. Owns the file descriptor.
class Socket {
 public:
  // kWait: nothing can be done until epoll says so.
  enum class Io { kDone, kWait, kClosed };

  explicit Socket(int fd) : fd_(fd) {}
  virtual ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_; }
  // kDone: there is a connection to speak HTTP/2 on.
  virtual Io Handshake() { return Io::kDone; }
  // kDone: at least one byte.
  virtual Io Read(void* bytes, size_t size, size_t* count);
  virtual Io Write(const void* bytes, size_t size, size_t* count);
  // Says that nothing more comes.
  virtual void Finish();
  // Takes bytes that nobody wants any more, and adds to *count how many.
  Io Discard(void* scratch, size_t size, size_t* count);
  // Whether Read has something that epoll does not know of.
  virtual bool holds_bytes() const { return false; }
  // Whether kWait waits for room to write, whatever was asked for.
  virtual bool wants_write() const { return false; }

 protected:
  const int fd_;
};

// `tls`: in accept or connect state; its owner from now on.
std::unique_ptr<Socket> MakeTlsSocket(int fd, SSL* tls);

}  // namespace im::gateway::http2
