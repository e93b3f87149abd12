#include "gateway/relay.h"

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <utility>

#include "common/base/mutex.h"
#include "common/rpc/bytes.h"
#include "common/rpc/call.h"

namespace im::gateway {
namespace {

// Thread-safe. Lives until both the door and gRPC (OnDone) have let go.
class RelayedCall : public SessionEvents,
                    public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                    public std::enable_shared_from_this<RelayedCall> {
 public:
  RelayedCall(std::shared_ptr<Sink> sink, RelayOptions options)
      : options_(std::move(options)), sink_(std::move(sink)) {}

  void Begin(const CallInfo& call, grpc::GenericStub* stub) {
    self_ = shared_from_this();
    if (call.deadline != std::chrono::system_clock::time_point::max()) {
      context_.set_deadline(call.deadline);
    }
    if (!call.authorization.empty()) {
      context_.AddMetadata(rpc::kAuthorizationKey, call.authorization);
    }
    context_.AddMetadata(rpc::kRequestIdKey, call.request_id);
    if (options_.metadata) {
      if (call.address != "unix") context_.AddMetadata(rpc::kAddressKey, call.address);
      for (const auto& [name, value] : call.metadata) context_.AddMetadata(name, value);
    }
    stub->PrepareBidiStreamingCall(&context_, call.path, grpc::StubOptions(), this);
    StartRead(&in_);
    // Reads and writes are begun from outside of reactions, too.
    AddHold();
    StartCall();
  }

  bool OnFrame(std::string bytes) override {
    MutexLock lock(&mu_);
    if (over_) return true;
    out_ = rpc::ToByteBuffer(bytes);
    writing_ = true;
    StartWrite(&out_);
    return false;
  }
  void OnHalfClosed() override {
    MutexLock lock(&mu_);
    if (over_) return;
    // After the message that is under way.
    if (writing_) {
      half_close_waits_ = true;
    } else {
      StartWritesDone();
    }
  }
  void OnRoom() override {
    MutexLock lock(&mu_);
    if (over_) return;
    reading_ = true;
    StartRead(&in_);
  }
  void OnClosed() override {
    context_.TryCancel();
    MutexLock lock(&mu_);
    // A read that is under way fails now. Else nobody would say that it is over: there may be no
    // room for another for ever.
    if (!reading_) GetOver();
  }

  void OnReadInitialMetadataDone(bool ok) override {
    if (!options_.metadata) return;
    if (ok) sink_->SendHeaders(Passed(context_.GetServerInitialMetadata()));
    {
      MutexLock lock(&mu_);
      headers_passed_ = true;
      if (!std::exchange(message_waits_, false)) return;
    }
    PassMessage();
  }
  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mu_);
      writing_ = false;
      // The service wants to hear no more; its status is about to come, and ends the stream.
      if (!ok) return;
      if (std::exchange(half_close_waits_, false) && !over_) StartWritesDone();
    }
    sink_->Read();
  }
  void OnReadDone(bool ok) override {
    {
      MutexLock lock(&mu_);
      reading_ = false;
      if (!ok) return GetOver();
      // gRPC tells the two on two threads, and the second first if it likes.
      message_waits_ = options_.metadata && !headers_passed_;
      if (message_waits_) return;
    }
    PassMessage();
  }
  void OnDone(const grpc::Status& status) override {
    // Who holds whom ends here, also if the door is gone and takes no status any more.
    const std::shared_ptr<Sink> sink = std::move(sink_);
    const std::shared_ptr<RelayedCall> self = std::move(self_);
    if (options_.metadata) sink->SetTrailers(Passed(context_.GetServerTrailingMetadata()));
    if (options_.ended) options_.ended(status);
    sink->End(status);
  }

 private:
  // What is not gRPC's own: that is said anew to the client.
  static Metadata Passed(const std::multimap<grpc::string_ref, grpc::string_ref>& from) {
    Metadata metadata;
    for (const auto& [name, value] : from) {
      if (name.starts_with("grpc-")) continue;
      metadata.emplace_back(std::string(name.data(), name.size()),
                            std::string(value.data(), value.size()));
    }
    return metadata;
  }
  void PassMessage() {
    if (sink_->Write(Frame(rpc::ToString(in_)))) OnRoom();
  }
  void GetOver() IM_REQUIRES(mu_) {
    if (!std::exchange(over_, true)) RemoveHold();
  }

  const RelayOptions options_;
  std::shared_ptr<Sink> sink_;
  std::shared_ptr<RelayedCall> self_;
  grpc::ClientContext context_;
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
  Mutex mu_;
  // From StartCall on.
  bool reading_ IM_GUARDED_BY(mu_) = true;
  bool headers_passed_ IM_GUARDED_BY(mu_) = false;
  bool message_waits_ IM_GUARDED_BY(mu_) = false;
  bool writing_ IM_GUARDED_BY(mu_) = false;
  bool half_close_waits_ IM_GUARDED_BY(mu_) = false;
  // The service has said its last, or the client is gone; nothing more may be begun.
  bool over_ IM_GUARDED_BY(mu_) = false;
};

}  // namespace

std::shared_ptr<SessionEvents> Relay(const CallInfo& call, grpc::GenericStub* stub,
                                     std::shared_ptr<Sink> sink, RelayOptions options) {
  auto relayed = std::make_shared<RelayedCall>(std::move(sink), std::move(options));
  relayed->Begin(call, stub);
  return relayed;
}

}  // namespace im::gateway
