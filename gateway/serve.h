// What clients find: the door, and behind it health and reflection.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/rpc/server.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/http2_door.h"

namespace im::gateway {

// Thread-safe. Shuts down in the destructor at the latest.
class Serving {
 public:
  // `gateway` must outlive it.
  static absl::StatusOr<std::unique_ptr<Serving>> Start(const GatewayConfig& values,
                                                        Gateway* gateway);

  const std::vector<std::string>& addresses() const { return door_->addresses(); }
  // Health says NOT_SERVING from now on; calls go on.
  void Drain() { standard_->Drain(); }
  // Waits for running calls until the deadline, then cuts them.
  void Shutdown(std::chrono::milliseconds grace) { door_->Shutdown(grace); }

 private:
  Serving() = default;

  // gRPC's own services, reached through the door only.
  std::unique_ptr<rpc::Server> standard_;
  std::unique_ptr<Http2Door> door_;
};

}  // namespace im::gateway
