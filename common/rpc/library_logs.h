// What gRPC and protobuf say themselves.
#pragma once

namespace im::rpc {

// From now on it comes as lines of our log at level warning instead of raw on stderr. With
// GRPC_VERBOSITY in the environment gRPC goes on by itself: who sets it wants gRPC's own form.
void RouteLibraryLogs();

}  // namespace im::rpc
