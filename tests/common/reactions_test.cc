#include "common/rpc/reactions.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

#include "common/rpc/bytes.h"

namespace im::rpc {
namespace {

// A call that takes its channel with it when it is over, as those of links and clients may.
class LastCall : public grpc::ClientUnaryReactor {
 public:
  explicit LastCall(std::promise<void>* over)
      : over_(over),
        stub_(grpc::CreateChannel("unix:/nowhere", grpc::InsecureChannelCredentials())),
        request_(ToByteBuffer("x")) {}
  void Start() {
    stub_.PrepareUnaryCall(&context_, "/nowhere", {}, &request_, &response_, this);
    StartCall();
  }
  void OnDone(const grpc::Status& /*status*/) override {
    // Until gRPC itself has let go of the channel.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::promise<void>* const over = over_;
    delete this;
    over->set_value();
  }

 private:
  std::promise<void>* const over_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

TEST(ReactionsTest, TheLastChannelMayGoInAReaction) {
  KeepReactionThreads();
  KeepReactionThreads();
  for (int i = 0; i < 10; ++i) {
    std::promise<void> over;
    (new LastCall(&over))->Start();
    over.get_future().wait();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace
}  // namespace im::rpc
