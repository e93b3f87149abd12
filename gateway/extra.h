// Services beside IM's own that clients reach through the same door: whole packages, with calls of
// any kind, passed on as bytes with all their metadata.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/rpc/channel.h"
#include "gateway/door.h"

namespace im::gateway {

// Package to addresses. "grpc.testing=127.0.0.1:1234, org.example.v1=unix:/run/a"; a package that
// is named several times has several instances. Fails on what is not that, and on packages that are
// the gateway's to answer for: im.*, grpc.health.*, grpc.reflection.*.
using ExtraPackages = std::map<std::string, std::vector<std::string>>;
absl::StatusOr<ExtraPackages> ParseExtraPackages(const std::string& text);

// Thread-safe. Must outlive its calls, which last as long as their door.
class Extra {
 public:
  // `max_message_bytes`: of a service; clients are the door's to limit.
  Extra(const ExtraPackages& packages, const rpc::ChannelTls& tls, size_t max_message_bytes);

  bool Offers(const std::string& package) const { return packages_.count(package) > 0; }
  // Of a package that is offered.
  absl::StatusOr<std::shared_ptr<SessionEvents>> Open(const CallInfo& call,
                                                      std::shared_ptr<Sink> sink);

 private:
  struct Instance {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<grpc::GenericStub> stub;
  };

  // In turn, those that are connected first.
  grpc::GenericStub* Pick(const std::string& package);

  std::map<std::string, std::vector<Instance>> packages_;
  std::atomic<size_t> next_{0};
  // Shared with the calls, which may end later.
  const std::shared_ptr<std::atomic<int>> under_way_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace im::gateway
