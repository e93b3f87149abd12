#include "gateway/serve.h"

namespace im::gateway {

absl::StatusOr<std::unique_ptr<rpc::Server>> Serve(const GatewayConfig& values, GrpcDoor* door,
                                                   const Gateway* gateway) {
  rpc::ServerConfig config;
  if (!values.listen.empty()) config.listen.push_back({.address = values.listen});
  if (!values.tls_listen.empty()) {
    if (values.tls_certificate.empty() || values.tls_key.empty()) {
      return absl::InvalidArgumentError(
          "server.tls_listen needs server.tls_certificate and server.tls_key");
    }
    config.listen.push_back({.address = values.tls_listen,
                             .tls_certificate = values.tls_certificate,
                             .tls_key = values.tls_key,
                             .for_clients = true});
  }
  if (config.listen.empty()) {
    return absl::InvalidArgumentError("set server.listen, server.tls_listen or both");
  }
  config.generic = door;
  config.generic_services = OfferedServices();
  config.healthy = [gateway] { return gateway->Healthy(); };
  // Room to read what is too large and say so with a reason; gRPC's own refusal has none.
  config.max_receive_bytes = static_cast<int>(4 * values.session.max_frame_bytes);
  config.connection_idle = std::chrono::seconds(values.connection_idle_seconds);
  config.calls_per_connection = values.calls_per_connection;
  return rpc::Server::Start(config);
}

}  // namespace im::gateway
