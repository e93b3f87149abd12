#include "gateway/grpc_door.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/rpc/bytes.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"
#include "gateway/address.h"

namespace im::gateway {
namespace {

std::string FindMetadata(const grpc::GenericCallbackServerContext& context, const char* key) {
  const auto found = context.client_metadata().find(key);
  if (found == context.client_metadata().end()) return {};
  return std::string(found->second.data(), found->second.size());
}

CallInfo InfoOf(const grpc::GenericCallbackServerContext& context) {
  CallInfo call;
  call.path = context.method();
  call.authorization = FindMetadata(context, rpc::kAuthorizationKey);
  call.request_id = FindMetadata(context, rpc::kRequestIdKey);
  const bool printable = std::all_of(call.request_id.begin(), call.request_id.end(),
                                     [](unsigned char c) { return std::isgraph(c) != 0; });
  if (call.request_id.empty() || call.request_id.size() > 64 || !printable) {
    call.request_id = RandomHex(8);
  }
  call.address = AddressOfPeer(context.peer());
  call.deadline = context.deadline();
  return call;
}

prometheus::Counter& NotTakenCounter() {
  static auto& counter = CounterFamily("im_gateway_responses_not_taken_total",
                                       "Unary calls cut since their client did not read.")
                             .Add({});
  return counter;
}

// A client's transport takes as much without being asked.
constexpr size_t kAlwaysTaken = 32 << 10;

// A stream. Lives until both gRPC (OnDone) and the session have let go of it.
class StreamCall : public grpc::ServerGenericBidiReactor,
                   public Sink,
                   public std::enable_shared_from_this<StreamCall> {
 public:
  explicit StreamCall(grpc::GenericCallbackServerContext* context) : context_(context) {}

  void Begin(Front* front, Front::Kind kind) {
    self_ = shared_from_this();
    auto events = front->Open(InfoOf(*context_), kind, self_);
    if (!events.ok()) return End(events.status());
    events_ = *std::move(events);
    Read();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return events_->OnClosed();
    std::string bytes = rpc::ToString(in_);
    in_.Clear();
    if (events_->OnFrame(std::move(bytes))) Read();
  }
  void OnWriteDone(bool ok) override {
    out_.Clear();
    if (!ok) events_->OnClosed();
    events_->OnRoom();
  }
  void OnCancel() override {
    if (events_ != nullptr) events_->OnClosed();
  }
  void OnDone() override {
    events_.reset();
    // Last: may destroy this.
    const std::shared_ptr<StreamCall> self = std::move(self_);
  }

  bool Write(const Frame& frame) override {
    out_ = grpc::ByteBuffer(&frame.slice(), 1);
    StartWrite(&out_);
    return false;
  }
  void End(const absl::Status& status) override {
    MutexLock lock(&mu_);
    finished_ = true;
    Finish(rpc::ToGrpc(status));
  }
  void Read() override {
    MutexLock lock(&mu_);
    if (!finished_) StartRead(&in_);
  }
  void Cut() override {
    MutexLock lock(&mu_);
    if (!finished_) context_->TryCancel();
  }

 private:
  // gRPC's; its end is OnDone, which comes after Finish.
  grpc::GenericCallbackServerContext* const context_;
  std::shared_ptr<StreamCall> self_;
  std::shared_ptr<SessionEvents> events_;
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
  Mutex mu_;
  bool finished_ IM_GUARDED_BY(mu_) = false;
};

class UnaryCall : public grpc::ServerGenericBidiReactor,
                  public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(Front* front, std::chrono::milliseconds response_patience,
            grpc::GenericCallbackServerContext* context)
      : front_(front),
        response_patience_(response_patience),
        context_(context),
        call_(InfoOf(*context)) {}

  void Begin() {
    self_ = shared_from_this();
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      return Finish(rpc::ToGrpc(Error(Reason::MALFORMED_REQUEST, "the call carries no request")));
    }
    auto ongoing =
        front_->Call(call_, request_,
                     [self = self_](const grpc::Status& status, const grpc::ByteBuffer& response) {
                       self->Answer(status, response);
                     });
    bool cancel = false;
    {
      MutexLock lock(&mu_);
      cancel = cancelled_;
      if (!answered_) ongoing_ = ongoing;
    }
    if (cancel && ongoing != nullptr) ongoing->Cancel();
  }
  void OnCancel() override {
    std::shared_ptr<OngoingCall> ongoing;
    {
      MutexLock lock(&mu_);
      cancelled_ = true;
      ongoing = ongoing_;
    }
    if (ongoing != nullptr) ongoing->Cancel();
  }
  void OnDone() override {
    // Last: may destroy this.
    const std::shared_ptr<UnaryCall> self = std::move(self_);
    {
      MutexLock lock(&mu_);
      done_ = true;
    }
    patience_.Cancel();
  }

 private:
  // The client does not read.
  void Cut() {
    MutexLock lock(&mu_);
    if (done_) return;
    context_->TryCancel();
    NotTakenCounter().Increment();
  }

  void Answer(const grpc::Status& status, const grpc::ByteBuffer& response) {
    {
      MutexLock lock(&mu_);
      answered_ = true;
      // The call holds this by its callback.
      ongoing_.reset();
    }
    if (!status.ok()) return Finish(status);
    response_ = response;
    // A message without fields has no bytes, and no slices to write.
    if (!response_.Valid()) response_ = rpc::ToByteBuffer("");
    if (response_.Length() > kAlwaysTaken) {
      patience_.Set(std::chrono::system_clock::now() + response_patience_,
                    [self = shared_from_this()](bool over) {
                      if (over) self->Cut();
                    });
    }
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }

  Front* const front_;
  const std::chrono::milliseconds response_patience_;
  // gRPC's, until OnDone.
  grpc::GenericCallbackServerContext* const context_;
  const CallInfo call_;
  grpc::Alarm patience_;
  std::shared_ptr<UnaryCall> self_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  Mutex mu_;
  bool cancelled_ IM_GUARDED_BY(mu_) = false;
  bool answered_ IM_GUARDED_BY(mu_) = false;
  bool done_ IM_GUARDED_BY(mu_) = false;
  std::shared_ptr<OngoingCall> ongoing_ IM_GUARDED_BY(mu_);
};

}  // namespace

grpc::ServerGenericBidiReactor* GrpcDoor::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const Front::Kind kind = front_->KindOf(context->method());
  if (kind == Front::Kind::kUnary) {
    auto call = std::make_shared<UnaryCall>(front_, response_patience_, context);
    call->Begin();
    return call.get();
  }
  auto call = std::make_shared<StreamCall>(context);
  call->Begin(front_, kind);
  return call.get();
}

}  // namespace im::gateway
