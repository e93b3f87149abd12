// A client of the gateway for tests: one stream, read frame by frame as the test asks, so that a
// device which does not read is one of which the test does not ask.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "common/base/mutex.h"
#include "im/gateway/v1/gateway.pb.h"
#include "tests/gateway/fake_service.h"

namespace im::gateway {

class Device : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // `method`: of GatewayService, or a whole path.
  Device(const std::shared_ptr<grpc::Channel>& channel, const std::string& token,
         const std::string& method = "Connect");
  ~Device() override;

  void SendBytes(const std::string& bytes);
  void Send(const v1::ConnectRequest& frame) { SendBytes(frame.SerializeAsString()); }
  void Hello(const std::string& have = {});
  void SendMessage(uint64_t call_id, int64_t conversation, const std::string& request_id);

  // The next frame's bytes; nullopt at the end of the stream.
  std::optional<std::string> NextBytes();
  // The next frame; FRAME_NOT_SET at the end. Heartbeats are passed over.
  v1::ServerFrame Next();
  // Goes on to the first frame of this kind.
  v1::ServerFrame NextOf(v1::ServerFrame::FrameCase kind);
  // Cuts without a word.
  void Cut() { context_.TryCancel(); }
  // Reads to the end.
  absl::Status End();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  std::unique_ptr<grpc::GenericStub> stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
  Mutex mu_;
  CondVar changed_;
  bool reading_ IM_GUARDED_BY(mu_) = false;
  bool writing_ IM_GUARDED_BY(mu_) = false;
  bool read_ok_ IM_GUARDED_BY(mu_) = true;
  bool done_ IM_GUARDED_BY(mu_) = false;
  bool held_ = true;
  grpc::Status status_ IM_GUARDED_BY(mu_);
};

}  // namespace im::gateway
