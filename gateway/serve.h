// The gateway's server: the door on its addresses, with health and reflection.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/rpc/server.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/grpc_door.h"

namespace im::gateway {

// `door` and `gateway` must outlive the server. Refuses plaintext on anything but loopback.
absl::StatusOr<std::unique_ptr<rpc::Server>> Serve(const GatewayConfig& values, GrpcDoor* door,
                                                   const Gateway* gateway);

}  // namespace im::gateway
