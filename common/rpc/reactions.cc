#include "common/rpc/reactions.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

namespace im::rpc {
namespace {

// A call that is never started, on a channel that never connects: it holds the threads.
class Anchor : public grpc::ClientUnaryReactor {
 public:
  Anchor()
      : channel_(grpc::CreateChannel("unix:/nowhere", grpc::InsecureChannelCredentials())),
        stub_(channel_) {
    stub_.PrepareUnaryCall(&context_, "/nowhere", {}, &request_, &response_, this);
  }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

}  // namespace

void KeepReactionThreads() { static const auto* anchor [[maybe_unused]] = new Anchor; }

}  // namespace im::rpc
