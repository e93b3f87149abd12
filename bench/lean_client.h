// A device reduced to its stream, for scenarios whose receivers must not be what is measured.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "client/channel.h"
#include "common/base/mutex.h"
#include "im/gateway/v1/gateway.grpc.pb.h"

namespace im::bench {

// One Connect stream straight on gRPC's callback API: no strand, no queue of events, no resume.
// Where client::Session mends what breaks, this reports it. Thread-safe.
class LeanClient
    : private grpc::ClientBidiReactor<gateway::v1::ConnectRequest, gateway::v1::ConnectResponse> {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // On a thread of gRPC's, one at a time for each client; must not block. May call Send.
    virtual void OnFrame(const gateway::v1::ServerFrame& frame) = 0;
    // Once, last.
    virtual void OnClosed(const absl::Status& status) = 0;
  };

  // Opens the stream with a Hello of a device that has nothing. The listener must outlive the
  // client.
  LeanClient(std::shared_ptr<client::Channel> channel, const std::string& token,
             Listener* listener);
  // Ends the stream and waits for OnClosed; not from inside of the listener.
  ~LeanClient() override;
  LeanClient(const LeanClient&) = delete;
  LeanClient& operator=(const LeanClient&) = delete;

  // Sent in the order of the calls; dropped once the stream is over.
  void Send(gateway::v1::ConnectRequest frame);
  // A sign of life, if nothing else was sent for this long.
  void SendHeartbeatAfter(std::chrono::milliseconds quiet);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::shared_ptr<client::Channel> channel_;
  const std::unique_ptr<gateway::v1::GatewayService::Stub> stub_;
  Listener* const listener_;
  grpc::ClientContext context_;
  // Of the reaction that runs.
  gateway::v1::ConnectResponse response_;
  // Of the write under way.
  gateway::v1::ConnectRequest writing_frame_;

  Mutex mu_;
  CondVar changed_;
  bool writing_ IM_GUARDED_BY(mu_) = false;
  // No write may start any more.
  bool closed_ IM_GUARDED_BY(mu_) = false;
  bool done_ IM_GUARDED_BY(mu_) = false;
  std::deque<gateway::v1::ConnectRequest> waiting_ IM_GUARDED_BY(mu_);
  std::chrono::steady_clock::time_point last_sent_ IM_GUARDED_BY(mu_);
};

}  // namespace im::bench
