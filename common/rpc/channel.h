// Channels to our other processes, and unary calls on them from code that may block.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/rpc/bytes.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"

namespace im {
class Config;
}

namespace im::rpc {

struct ChannelTls {
  // PEM files; all empty: plaintext.
  std::string ca;
  std::string certificate;
  std::string key;
};

// The options upstreams.tls_ca, tls_certificate and tls_key.
void AddUpstreamTlsOptions(Config* config, ChannelTls* tls);

struct ChannelLimits {
  // What a call takes in before it is read; 0: as much as the line is good for.
  int window_bytes = 0;
  // Of a message; -1: any.
  int max_receive_bytes = -1;
};

// Reconnects by itself, with back-off from 50 ms to 1 s, so that a service which was restarted is
// found again at once. Never fails; an unreadable PEM file fails the calls.
std::shared_ptr<grpc::Channel> Connect(const std::string& address, const ChannelTls& tls = {},
                                       const ChannelLimits& limits = {});

// "a, b" as a list of addresses.
std::vector<std::string> ParseAddresses(const std::string& list);

// Calls `stub_call(context, request, response)`, a synchronous generated stub method, with the
// caller's token and request id passed on.
template <typename Request, typename Response, typename Stub>
absl::StatusOr<Response> Call(
    Stub* stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const Request& request, const Caller& caller, std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  if (!caller.request_id.empty()) context.AddMetadata(kRequestIdKey, caller.request_id);
  if (!caller.access_token.empty()) {
    context.AddMetadata(kAuthorizationKey, "Bearer " + caller.access_token);
  }
  Response response;
  const grpc::Status status = (stub->*method)(&context, request, &response);
  if (!status.ok()) return FromGrpc(status);
  return response;
}

}  // namespace im::rpc
