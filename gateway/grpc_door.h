// The door on gRPC's callback API: streams to sessions, unary calls to the front. Knows neither
// sessions nor services.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include "gateway/door.h"

namespace im::gateway {

// `front` must outlive the server that this is registered with.
class GrpcDoor : public grpc::CallbackGenericService {
 public:
  explicit GrpcDoor(Front* front) : front_(front) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  Front* const front_;
};

}  // namespace im::gateway
