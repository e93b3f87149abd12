// The route: unary calls that are not the gateway's own, passed on as bytes to the service that the
// method's package belongs to. A new RPC of a service needs no change here.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/rpc/channel.h"
#include "gateway/door.h"
#include "gateway/options.h"

namespace im::gateway {

// The packages that are offered, and nothing else.
inline constexpr char kAuthPackage[] = "im.auth.v1";
inline constexpr char kChatPackage[] = "im.chat.v1";
inline constexpr char kPresencePackage[] = "im.presence.v1";
inline constexpr char kGatewayPackage[] = "im.gateway.v1";

// "/im.chat.v1.MessageService/SendMessage": "im.chat.v1"; empty if it is no such path.
std::string PackageOf(const std::string& path);

// Thread-safe.
class Route {
 public:
  Route(const Upstreams& upstreams, const rpc::ChannelTls& tls, milliseconds wait);
  // Waits for the calls under way.
  ~Route();

  bool Offers(const std::string& package) const { return upstreams_.count(package) > 0; }
  // Whether some instance of the package's service is connected.
  bool IsReady(const std::string& package) const;

  // `user_id`: 0 if nobody is logged in. `done` is called exactly once, maybe before this returns.
  std::shared_ptr<OngoingCall> Start(const CallInfo& call, int64_t user_id,
                                     const grpc::ByteBuffer& request, Front::Done done);
  // Call about twenty times a second.
  void Tick(std::chrono::steady_clock::time_point now);

 private:
  struct Instance {
    std::string address;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<grpc::GenericStub> stub;
  };
  class Forwarded;

  // Null if none is connected.
  const Instance* Pick(const std::string& package, uint64_t key) const;
  bool TrySend(const std::shared_ptr<Forwarded>& call);

  const milliseconds wait_;
  std::map<std::string, std::vector<Instance>> upstreams_;

  Mutex mu_;
  CondVar changed_;
  int under_way_ IM_GUARDED_BY(mu_) = 0;
  size_t under_way_bytes_ IM_GUARDED_BY(mu_) = 0;  // of their requests
  // Calls for which no instance was connected.
  std::list<std::shared_ptr<Forwarded>> waiting_ IM_GUARDED_BY(mu_);
};

}  // namespace im::gateway
