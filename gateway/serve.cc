#include "gateway/serve.h"

#include "common/base/error.h"

namespace im::gateway {

absl::StatusOr<std::unique_ptr<Serving>> Serving::Start(const GatewayConfig& values,
                                                        Gateway* gateway) {
  std::unique_ptr<Serving> serving(new Serving);
  rpc::ServerConfig standard;
  standard.generic_services = OfferedServices();
  standard.healthy = [gateway] { return gateway->Healthy(); };
  IM_ASSIGN_OR_RETURN(serving->standard_, rpc::Server::Start(standard));
  gateway->SetStandardServices(serving->standard_->InProcessChannel());

  DoorOptions door;
  door.listen = values.listen;
  door.tls_listen = values.tls_listen;
  door.tls_certificate = values.tls_certificate;
  door.tls_key = values.tls_key;
  door.loops = values.loops;
  door.max_connections = values.max_connections;
  door.max_connections_of_address = values.connections_per_address;
  IM_ASSIGN_OR_RETURN(door.exempt, AddressSet::Parse(values.limits.exempt));
  door.connection = values.connection;
  door.connection.call.max_message_bytes = kDoorMessageFrames * values.session.max_frame_bytes;
  door.connection.idle = std::chrono::seconds(values.connection_idle_seconds);
  door.connection.max_calls = static_cast<uint32_t>(values.calls_per_connection);
  IM_ASSIGN_OR_RETURN(serving->door_, Http2Door::Open(door, gateway));
  return serving;
}

}  // namespace im::gateway
