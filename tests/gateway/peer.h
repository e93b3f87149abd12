// An HTTP/2 client that says what a test wants, byte by byte if need be. Over TCP, on this machine.
#pragma once

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace im::gateway {

struct PeerRequest {
  std::string method = "POST";
  std::string content_type = "application/grpc";
  std::string path = "/im.chat.v1.MessageService/MarkRead";
  std::vector<std::pair<std::string, std::string>> headers;
  // The body; nullopt: it never comes.
  std::optional<std::string> body;
  // A body of which more could come, and never does.
  std::optional<std::string> open_body;
};

// One thread. Trusts anybody. Comes from `from`, another address of this machine than 127.0.0.1, if
// that is named. Its windows are those of HTTP/2, 64 KB, and are opened as it reads.
class Peer {
 public:
  // `settings`: what it tells the server of itself.
  explicit Peer(const std::string& address,
                const std::vector<nghttp2_settings_entry>& settings = {}, bool tls = false,
                const char* from = nullptr);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Queues it and returns its stream.
  int32_t Request(const PeerRequest& request);
  void Reset(int32_t stream);
  void Ping();
  // Sends what is queued; false: the server has hung up.
  bool Flush();
  // These and nothing else; false: the server has hung up.
  bool SendBytes(std::string_view bytes);
  // Reads until that holds; false: the server has hung up before.
  bool ReadUntil(const std::function<bool()>& condition);
  bool ReadUntilClosed() {
    return ReadUntil([this] { return closed > 0; });
  }
  // Reads until nothing came for so long.
  void ReadUntilSilent(std::chrono::milliseconds silence);
  // Bytes of bodies that the server's windows have not let through yet.
  size_t unsent() const;
  // Reads until the server hangs up.
  void ReadToTheEnd();
  // What the server has hung up on.
  int fd() const { return fd_; }

  // Of all responses; the last value of each name.
  std::map<std::string, std::string> headers;
  std::string body;
  int closed = 0;
  int pings = 0;
  std::optional<uint32_t> goaway;

 private:
  struct Callbacks;

  ssize_t Receive(void* bytes, size_t size);

  const int fd_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_{nullptr, SSL_free};
  nghttp2_session* session_ = nullptr;
  struct Body {
    std::string bytes;
    size_t sent = 0;
    bool ends = true;
  };
  std::map<int32_t, Body> bodies_;
};

// A TCP connection to a port of this machine.
int ConnectTo(const std::string& address, const char* from = nullptr);

// With gRPC's prefix; `flag` 1: compressed.
std::string Framed(std::string_view message, char flag = 0);

}  // namespace im::gateway
