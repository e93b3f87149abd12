// The door: gRPC over HTTP/2 to clients, on nghttp2 and event loops of our own. Knows neither
// sessions nor services.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/address.h"
#include "gateway/door.h"
#include "gateway/http2/address_use.h"
#include "gateway/http2/connection.h"
#include "gateway/http2/listener.h"
#include "gateway/http2/loop.h"
#include "gateway/http2/tls.h"

namespace im::gateway {

struct DoorOptions {
  // "unix:/path" or "HOST:PORT"; port 0: any free one. Plaintext; empty: none.
  std::string listen;
  // TLS; empty: none.
  std::string tls_listen;
  // PEM files.
  std::string tls_certificate;
  std::string tls_key;
  // Threads.
  int loops = 2;
  // Connections that are held at once; what is more is closed at once.
  size_t max_connections = 60'000;
  size_t max_connections_of_address = 10'000;
  // Addresses for which none of the limits of one address hold.
  AddressSet exempt;
  http2::ConnectionOptions connection;
};

// Thread-safe. Shuts down in the destructor at the latest.
class Http2Door {
 public:
  // `front` must outlive it.
  static absl::StatusOr<std::unique_ptr<Http2Door>> Open(const DoorOptions& options, Front* front);
  ~Http2Door();

  // In force, with ports: the plaintext one first.
  const std::vector<std::string>& addresses() const { return addresses_; }
  // Takes no more connections and calls; those there are may go on until the deadline, then they
  // are cut.
  void Shutdown(std::chrono::milliseconds grace);

 private:
  Http2Door(const DoorOptions& options, Front* front);

  absl::Status Listen(const std::string& address, http2::TlsContext* tls);
  void Accept(int fd, std::string address, http2::TlsContext* tls);

  const DoorOptions options_;
  Front* const front_;
  std::unique_ptr<http2::TlsContext> tls_;
  http2::AddressUses uses_;
  std::vector<std::shared_ptr<http2::Loop>> loops_;
  std::vector<std::unique_ptr<http2::Listener>> listeners_;
  std::vector<std::string> addresses_;
  // Where the next connection goes; the accepting loop's.
  size_t next_loop_ = 0;
  std::atomic<bool> closed_{false};
};

}  // namespace im::gateway
