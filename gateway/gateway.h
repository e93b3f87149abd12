// The gateway behind its door: who may come in, which session a call belongs to, where others go.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/workers.h"
#include "common/rpc/call.h"
#include "gateway/door.h"
#include "gateway/extra.h"
#include "gateway/hub.h"
#include "gateway/limits.h"
#include "gateway/options.h"
#include "gateway/route.h"
#include "gateway/session.h"
#include "gateway/session_table.h"

namespace im::gateway {

struct GatewayOptions {
  Upstreams upstreams;
  // Towards the services.
  rpc::ChannelTls tls;
  SessionOptions session;
  LinkOptions link;
  LimitOptions limits;
  rpc::Authenticate authenticate;
  // Whether it knows the keys of tokens yet: nobody can come in before.
  std::function<bool()> has_keys = [] { return true; };
  std::function<bool(int64_t device_id)> is_revoked;
  // How exact timeouts are.
  milliseconds tick{50};
};

// Thread-safe. Must outlive the server with the door; streams are its until they have ended.
class Gateway : public Front {
 public:
  static absl::StatusOr<std::unique_ptr<Gateway>> Create(GatewayOptions options);
  ~Gateway() override;

  // The device was logged out or revoked: its stream ends at once.
  void Revoke(int64_t device_id);
  // Whether a client finds everything it needs.
  bool Healthy() const;
  // Takes no more streams and tells those there are to come back; then waits until they have gone,
  // at most this long.
  void Drain(milliseconds limit);
  size_t sessions() const { return table_.size(); }
  // What answers for the standard services of gRPC (health, reflection). Before the door opens.
  void SetStandardServices(const std::shared_ptr<grpc::Channel>& channel);
  // Bytes that wait for clients.
  size_t queued_bytes() const;
  const Hub& hub() const { return *hub_; }

  Kind KindOf(const std::string& path) const override;
  absl::StatusOr<std::shared_ptr<SessionEvents>> Open(const CallInfo& call, Kind kind,
                                                      std::shared_ptr<Sink> sink) override;
  std::shared_ptr<OngoingCall> Call(const CallInfo& call, const grpc::ByteBuffer& request,
                                    Done done) override;

 private:
  Gateway(GatewayOptions options, AddressSet exempt, const ExtraPackages& extra);

  void Tick();
  absl::StatusOr<rpc::Identity> Authenticate(const CallInfo& call) const;
  absl::StatusOr<std::string> SyncDevice(const CallInfo& call, const grpc::ByteBuffer& request);

  const GatewayOptions options_;
  std::unique_ptr<grpc::GenericStub> standard_services_;
  Limits limits_;
  SessionTable table_;
  Route route_;
  Extra extra_;
  std::unique_ptr<Hub> hub_;
  SessionContext context_;
  std::atomic<uint64_t> numbers_{0};
  std::atomic<bool> draining_{false};
  uint64_t ticks_ = 0;  // of the ticker's thread

  mutable Mutex mu_;
  // All streams, those without a Welcome too, until they have ended.
  std::vector<std::shared_ptr<Session>> streams_ IM_GUARDED_BY(mu_);

  // Last: stops before what it calls.
  std::unique_ptr<Ticker> ticker_;
};

// The services that the gateway offers, its own and the others', for reflection: all that the
// protos of the public packages define.
std::vector<std::string> OfferedServices();

}  // namespace im::gateway
