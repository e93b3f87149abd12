// The door on gRPC's callback API: streams to sessions, unary calls to the front. Knows neither
// sessions nor services.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <chrono>

#include "gateway/door.h"

namespace im::gateway {

// `front` must outlive the server that this is registered with.
class GrpcDoor : public grpc::CallbackGenericService {
 public:
  // `response_patience`: a unary call whose client has not taken its response by then is cut, for
  // until then the response is held.
  explicit GrpcDoor(Front* front,
                    std::chrono::milliseconds response_patience = std::chrono::seconds(30))
      : front_(front), response_patience_(response_patience) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  Front* const front_;
  const std::chrono::milliseconds response_patience_;
};

}  // namespace im::gateway
