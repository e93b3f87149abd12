// A stream of any kind that is not the gateway's own, passed on message by message.
#pragma once

#include <grpcpp/generic/generic_stub.h>

#include <functional>
#include <memory>

#include "gateway/door.h"

namespace im::gateway {

struct RelayOptions {
  // Whether metadata is passed on, too, both ways; else only token and request id.
  bool metadata = false;
  // Told how the service ended it, once.
  std::function<void(const grpc::Status&)> ended;
};

// Opens the call at `stub` and joins it with the client's. Each side is read only as fast as the
// other takes it: one message of each direction is held here. The stub must outlive the call.
std::shared_ptr<SessionEvents> Relay(const CallInfo& call, grpc::GenericStub* stub,
                                     std::shared_ptr<Sink> sink, RelayOptions options = {});

}  // namespace im::gateway
