// A stream to the gateway in bytes, of Connect or Subscribe.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "im/gateway/v1/gateway.pb.h"

namespace im::testing {

// Not thread-safe; each wait ends after 20 seconds.
class Stream {
 public:
  // Opens it, with `first` as its first message.
  Stream(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
         const std::string& token, const std::string& first);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void Send(const std::string& bytes);
  // The next frame; fails with the stream's end: its status, or DEVICE_REVOKED and the like of a
  // SessionEnd.
  absl::StatusOr<gateway::v1::ServerFrame> Next();
  // All frames up to CaughtUp, as text.
  absl::StatusOr<std::string> ToCaughtUp();
  // The answer to a call, as text, or how it failed.
  absl::StatusOr<std::string> ToAnswer(uint64_t call_id);

 private:
  bool Await(void* tag);

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericStub> stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  bool ended_ = false;
};

}  // namespace im::testing
