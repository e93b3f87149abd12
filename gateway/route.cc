#include "gateway/route.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/rpc/bytes.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"
#include "gateway/links.h"
#include "gateway/wire.h"

namespace im::gateway {
namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

// Of calls whose client named none, and at most.
constexpr std::chrono::seconds kDefaultDeadline{30};
constexpr std::chrono::seconds kMaxDeadline{120};
// Calls that are passed on at the same time: more than the services take, less than hurts here.
constexpr int kMaxUnderWay = 20'000;
constexpr size_t kMaxUnderWayBytes = 128 << 20;

prometheus::Family<prometheus::Counter>& CallsFamily() {
  static auto& family = CounterFamily("im_gateway_calls_total", "Unary calls passed on.");
  return family;
}

// Our services say why in the details; what gRPC itself says gets its reason here.
grpc::Status WithReason(const grpc::Status& status) {
  if (status.ok() || !status.error_details().empty()) return status;
  const auto soon = ErrorDetails{.retry_after = milliseconds(1'000)};
  switch (status.error_code()) {
    case grpc::StatusCode::CANCELLED:
      return rpc::ToGrpc(Error(Reason::CANCELLED));
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return rpc::ToGrpc(Error(Reason::DEADLINE_EXCEEDED));
    case grpc::StatusCode::UNIMPLEMENTED:
      return rpc::ToGrpc(Error(Reason::UNKNOWN_METHOD));
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return rpc::ToGrpc(Error(Reason::OVERLOADED, {}, soon));
    default:
      Log(LogLevel::kWarning, "upstream_failed",
          {{"code", static_cast<int>(status.error_code())}, {"what", status.error_message()}});
      return rpc::ToGrpc(Error(Reason::SERVICE_UNAVAILABLE, {}, soon));
  }
}

// The conversation that the request names, as field 1 of most requests of chat; else nullopt.
std::optional<uint64_t> PeekConversation(const grpc::ByteBuffer& request) {
  grpc::Slice slice;
  if (request.TrySingleSlice(&slice).ok()) {
    return wire::FindVarint({reinterpret_cast<const char*>(slice.begin()), slice.size()}, 1);
  }
  return wire::FindVarint(rpc::ToString(request), 1);
}

}  // namespace

std::string PackageOf(const std::string& path) {
  const size_t slash = path.find('/', 1);
  if (path.empty() || path[0] != '/' || slash == std::string::npos) return {};
  const size_t dot = path.rfind('.', slash);
  if (dot == std::string::npos) return {};
  return path.substr(1, dot - 1);
}

class Route::Forwarded : public OngoingCall, public std::enable_shared_from_this<Forwarded> {
 public:
  Forwarded(Route* route, const CallInfo& call, uint64_t key, const grpc::ByteBuffer& request,
            Front::Done done)
      : route_(route),
        path_(call.path),
        package_(PackageOf(call.path)),
        key_(key),
        until_(steady_clock::now() + route->wait_),
        request_(request),
        bytes_(request.Length()),
        done_(std::move(done)) {
    const auto now = system_clock::now();
    const auto deadline = call.deadline == system_clock::time_point::max()
                              ? now + kDefaultDeadline
                              : std::min(call.deadline, now + kMaxDeadline);
    context_.set_deadline(deadline);
    // Only these: whatever else the client sent, x-im-* above all, ends here.
    if (!call.authorization.empty()) {
      context_.AddMetadata(rpc::kAuthorizationKey, call.authorization);
    }
    context_.AddMetadata(rpc::kRequestIdKey, call.request_id);
    if (call.address != "unix") context_.AddMetadata(rpc::kAddressKey, call.address);
  }

  void Send(grpc::GenericStub* stub) {
    stub->UnaryCall(&context_, path_, grpc::StubOptions(), &request_, &response_,
                    [self = shared_from_this()](grpc::Status status) { self->Finish(status); });
  }

  void Finish(const grpc::Status& status) {
    CallsFamily()
        .Add({{"package", package_}, {"code", absl::StrCat(static_cast<int>(status.error_code()))}})
        .Increment();
    const Front::Done done = std::exchange(done_, nullptr);
    done(WithReason(status), response_);
    MutexLock lock(&route_->mu_);
    --route_->under_way_;
    route_->under_way_bytes_ -= bytes_;
    route_->changed_.NotifyAll();
  }

  void Cancel() override {
    bool waits = false;
    {
      MutexLock lock(&route_->mu_);
      auto& waiting = route_->waiting_;
      const auto found = std::find(waiting.begin(), waiting.end(), shared_from_this());
      waits = found != waiting.end();
      if (waits) waiting.erase(found);
    }
    if (waits) return Finish(rpc::ToGrpc(Error(Reason::CANCELLED)));
    context_.TryCancel();
  }

  Route* const route_;
  const std::string path_;
  const std::string package_;
  const uint64_t key_;
  const steady_clock::time_point until_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  const size_t bytes_;
  grpc::ByteBuffer response_;
  Front::Done done_;
};

Route::Route(const Upstreams& upstreams, const rpc::ChannelTls& tls, milliseconds wait)
    : wait_(wait) {
  const auto add = [&](const char* package, const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses) {
      auto channel = rpc::Connect(address, tls);
      auto stub = std::make_unique<grpc::GenericStub>(channel);
      upstreams_[package].push_back({address, std::move(channel), std::move(stub)});
    }
  };
  add(kAuthPackage, upstreams.auth);
  add(kChatPackage, upstreams.chat);
  add(kPresencePackage, upstreams.presence);
}

Route::~Route() {
  std::list<std::shared_ptr<Forwarded>> waiting;
  {
    MutexLock lock(&mu_);
    waiting = std::exchange(waiting_, {});
  }
  for (const auto& call : waiting) call->Finish(rpc::ToGrpc(Error(Reason::SHUTTING_DOWN)));
  MutexLock lock(&mu_);
  while (under_way_ > 0) changed_.Wait(&mu_);
}

bool Route::IsReady(const std::string& package) const { return Pick(package, 0) != nullptr; }

const Route::Instance* Route::Pick(const std::string& package, uint64_t key) const {
  const auto found = upstreams_.find(package);
  if (found == upstreams_.end()) return nullptr;
  const Instance* best = nullptr;
  uint64_t best_weight = 0;
  for (const Instance& instance : found->second) {
    if (instance.channel->GetState(true) != GRPC_CHANNEL_READY) continue;
    const uint64_t weight = RendezvousWeight(instance.address, key);
    if (best == nullptr || weight > best_weight) {
      best = &instance;
      best_weight = weight;
    }
  }
  return best;
}

bool Route::TrySend(const std::shared_ptr<Forwarded>& call) {
  const Instance* const instance = Pick(call->package_, call->key_);
  if (instance == nullptr) return false;
  call->Send(instance->stub.get());
  return true;
}

std::shared_ptr<OngoingCall> Route::Start(const CallInfo& call, int64_t user_id,
                                          const grpc::ByteBuffer& request, Front::Done done) {
  uint64_t key = static_cast<uint64_t>(user_id);
  if (PackageOf(call.path) == kChatPackage) key = PeekConversation(request).value_or(key);
  const auto forwarded = std::make_shared<Forwarded>(this, call, key, request, std::move(done));
  bool full = false;
  {
    MutexLock lock(&mu_);
    under_way_bytes_ += forwarded->bytes_;
    full = ++under_way_ > kMaxUnderWay || under_way_bytes_ > kMaxUnderWayBytes;
  }
  if (full) {
    forwarded->Finish(
        rpc::ToGrpc(Error(Reason::OVERLOADED, {}, {.retry_after = milliseconds(1'000)})));
    return nullptr;
  }
  if (!TrySend(forwarded)) {
    MutexLock lock(&mu_);
    waiting_.push_back(forwarded);
  }
  return forwarded;
}

void Route::Tick(steady_clock::time_point now) {
  std::list<std::shared_ptr<Forwarded>> waiting;
  {
    MutexLock lock(&mu_);
    waiting.swap(waiting_);
  }
  // Also keeps the channels connected.
  for (const auto& [package, instances] : upstreams_) Pick(package, 0);
  std::list<std::shared_ptr<Forwarded>> still;
  for (const auto& call : waiting) {
    if (TrySend(call)) continue;
    if (now >= call->until_) {
      call->Finish(rpc::ToGrpc(
          Error(Reason::SERVICE_UNAVAILABLE, {}, {.retry_after = milliseconds(1'000)})));
    } else {
      still.push_back(call);
    }
  }
  MutexLock lock(&mu_);
  waiting_.splice(waiting_.begin(), still);
}

}  // namespace im::gateway
