// The one way our processes listen: gRPC's callback server with health, reflection and limits.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/config.h"
#include "common/base/workers.h"

namespace im::rpc {

struct Listen {
  // "unix:/path" or "HOST:PORT"; port 0: any free one.
  std::string address;
  // PEM files; new ones are taken while it runs. Callers must show a certificate of tls_client_ca.
  // All three are required but on a unix socket.
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;
};

struct ServerConfig {
  std::vector<Listen> listen;
  // Handles what no registered service does; usually a Router.
  grpc::CallbackGenericService* generic = nullptr;
  // Services that the generic one handles, by full name, for reflection.
  std::vector<std::string> generic_services;
  // Generated callback services.
  std::vector<grpc::Service*> services;
  // Whether the process can work; asked once a second, and often until it can for the first time,
  // on a thread of its own, for the standard health service.
  std::function<bool()> healthy;
  int max_receive_bytes = 1 << 20;
  // A connection without a call ends after this; 0: never.
  std::chrono::seconds connection_idle{0};
  // What a client begins beyond waits with the client; 0: no limit.
  int calls_per_connection = 0;
};

// Thread-safe. Shutdown happens in the destructor at the latest; what the config points to must
// outlive it.
class Server {
 public:
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config);
  ~Server();

  // The addresses in force, with ports filled in, in the order of ServerConfig.listen.
  const std::vector<std::string>& addresses() const { return addresses_; }
  // To the server itself, without a socket.
  std::shared_ptr<grpc::Channel> InProcessChannel();
  // Health says NOT_SERVING from now on; calls go on.
  void Drain();
  // Waits for running calls until the deadline, then cancels them.
  void Shutdown(std::chrono::milliseconds grace);

 private:
  Server() = default;

  std::vector<std::unique_ptr<grpc::Service>> announced_;
  // Asked for the certificate at each handshake.
  std::vector<std::shared_ptr<grpc::ServerCredentials>> credentials_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::string> addresses_;
  // When the last health check ended.
  std::atomic<std::chrono::steady_clock::time_point> checked_at_{};
  std::unique_ptr<Ticker> health_;
  std::unique_ptr<Ticker> health_watch_;
  std::atomic<bool> draining_{false};
};

Listen ToListen(const ServerOptions& options);

// Whether clients may speak plaintext there: a unix socket, or a loopback address.
bool IsLocal(const std::string& address);

}  // namespace im::rpc
