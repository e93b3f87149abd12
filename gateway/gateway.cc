#include "gateway/gateway.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/random.h"
#include "common/rpc/bytes.h"
#include "common/rpc/status.h"
#include "gateway/relay.h"
#include "im/auth/v1/accounts.pb.h"

namespace im::gateway {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::steady_clock;

constexpr char kConnect[] = "/im.gateway.v1.GatewayService/Connect";
constexpr char kSubscribe[] = "/im.gateway.v1.GatewayService/Subscribe";
constexpr char kSyncDevice[] = "/im.gateway.v1.GatewayService/SyncDevice";

// Links are told apart by the bits of a word in each session.
constexpr size_t kMaxLinks = 64;
// Every how many ticks sessions are looked at, and limits swept.
constexpr uint64_t kSessionTicks = 5;
constexpr uint64_t kSweepTicks = 1200;

prometheus::Gauge& QueuedGauge() {
  static auto& gauge =
      GaugeFamily("im_gateway_queued_bytes",
                  "Bytes that wait to be written to clients, or of their calls for an instance.")
          .Add({});
  return gauge;
}

}  // namespace

std::vector<std::string> OfferedServices() {
  // Each package has a message; its file's pool knows the files of all that are linked in.
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  std::set<std::string> names;
  std::set<const google::protobuf::FileDescriptor*> seen;
  const std::function<void(const google::protobuf::FileDescriptor*)> visit =
      [&](const google::protobuf::FileDescriptor* file) {
        if (file == nullptr || !seen.insert(file).second) return;
        for (const char* package :
             {kAuthPackage, kChatPackage, kPresencePackage, kGatewayPackage}) {
          if (file->package() != package) continue;
          for (int i = 0; i < file->service_count(); ++i) {
            names.insert(file->service(i)->full_name());
          }
        }
        for (int i = 0; i < file->dependency_count(); ++i) visit(file->dependency(i));
      };
  visit(pool->FindFileByName("im/gateway/v1/gateway.proto"));
  visit(auth::v1::Profile::descriptor()->file());
  return {names.begin(), names.end()};
}

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Create(GatewayOptions options) {
  auto exempt = AddressSet::Parse(options.limits.exempt);
  if (!exempt.ok()) return exempt.status();
  const Upstreams& upstreams = options.upstreams;
  if (upstreams.auth.empty() || upstreams.chat.empty() || upstreams.presence.empty()) {
    return absl::InvalidArgumentError(
        "upstreams.auth, upstreams.chat and upstreams.presence each need an address");
  }
  if (upstreams.chat.size() + upstreams.presence.size() > kMaxLinks) {
    return absl::InvalidArgumentError("at most 64 instances of chat and presence together");
  }
  const auto extra = ParseExtraPackages(upstreams.extra);
  if (!extra.ok()) return extra.status();
  return std::unique_ptr<Gateway>(new Gateway(std::move(options), *std::move(exempt), *extra));
}

Gateway::Gateway(GatewayOptions options, AddressSet exempt, const ExtraPackages& extra)
    : options_(std::move(options)),
      limits_(options_.limits, std::move(exempt)),
      table_(options_.session.max_streams, options_.session.streams_per_account),
      route_(options_.upstreams, options_.tls, options_.session.call_wait),
      extra_(extra, options_.tls, kDoorMessageFrames * options_.session.max_frame_bytes) {
  context_.gateway_id = RandomHex(6);
  hub_ = std::make_unique<Hub>(options_.upstreams, options_.tls, context_.gateway_id, options_.link,
                               &table_);
  context_.options = options_.session;
  context_.hub = hub_.get();
  context_.table = &table_;
  context_.limits = &limits_;
  context_.authenticate = options_.authenticate;
  context_.is_revoked = options_.is_revoked;
  ticker_ = std::make_unique<Ticker>(options_.tick, [this] { Tick(); });
}

Gateway::~Gateway() { ticker_.reset(); }

void Gateway::Tick() {
  const auto now = steady_clock::now();
  hub_->Tick(now);
  route_.Tick(now);
  ++ticks_;
  if (ticks_ % kSweepTicks == 0) limits_.Tick(now);
  if (ticks_ % kSessionTicks != 0) return;
  std::vector<std::shared_ptr<Session>> streams;
  {
    MutexLock lock(&mu_);
    streams = streams_;
  }
  size_t queued = 0;
  for (const auto& session : streams) {
    session->Tick(now);
    queued += session->queued_bytes();
  }
  QueuedGauge().Set(static_cast<double>(queued));
  MutexLock lock(&mu_);
  streams_.erase(std::remove_if(streams_.begin(), streams_.end(),
                                [](const auto& session) { return session->done(); }),
                 streams_.end());
}

size_t Gateway::queued_bytes() const {
  MutexLock lock(&mu_);
  size_t queued = 0;
  for (const auto& session : streams_) queued += session->queued_bytes();
  return queued;
}

void Gateway::Revoke(int64_t device_id) {
  if (const auto session = table_.FindDevice(device_id)) session->EndRevoked();
}

bool Gateway::Healthy() const {
  return hub_->links().IsUp(Link::Service::kChat) && hub_->links().IsUp(Link::Service::kPresence) &&
         route_.IsReady(kAuthPackage) && options_.has_keys();
}

void Gateway::Drain(milliseconds limit) {
  draining_.store(true);
  table_.Close();
  std::vector<std::shared_ptr<Session>> streams;
  {
    MutexLock lock(&mu_);
    streams = streams_;
  }
  for (const auto& session : streams) session->EndForRestart();
  const auto until = steady_clock::now() + limit;
  Mutex mu;
  CondVar tick;
  MutexLock lock(&mu);
  while (steady_clock::now() < until &&
         !std::all_of(streams.begin(), streams.end(), [](const auto& s) { return s->done(); })) {
    // Nobody notifies; it is looked at again every few milliseconds.
    tick.WaitUntil(&mu, steady_clock::now() + milliseconds(10));
  }
}

void Gateway::SetStandardServices(const std::shared_ptr<grpc::Channel>& channel) {
  standard_services_ = std::make_unique<grpc::GenericStub>(channel);
}

Front::Kind Gateway::KindOf(const std::string& path) const {
  if (path == kConnect) return Kind::kConnect;
  if (path == kSubscribe) return Kind::kSubscribe;
  if (extra_.Offers(PackageOf(path))) return Kind::kRelay;
  // grpc.health.v1, grpc.reflection.v1alpha.
  return absl::StartsWith(path, "/grpc.") ? Kind::kRelay : Kind::kUnary;
}

absl::StatusOr<rpc::Identity> Gateway::Authenticate(const CallInfo& call) const {
  if (call.authorization.empty()) return Error(Reason::TOKEN_MISSING);
  return options_.authenticate(rpc::BearerToken(call.authorization));
}

absl::StatusOr<std::shared_ptr<SessionEvents>> Gateway::Open(const CallInfo& call, Kind kind,
                                                             std::shared_ptr<Sink> sink) {
  const bool extra = kind == Kind::kRelay && extra_.Offers(PackageOf(call.path));
  if (kind == Kind::kRelay) {
    IM_RETURN_IF_ERROR(limits_.TakeForAddress(Action::kOther, call.address, steady_clock::now()));
    // Who asks for health hears the truth to the end.
    if (!extra) return Relay(call, standard_services_.get(), std::move(sink));
  }
  if (draining_.load()) {
    return Error(Reason::SHUTTING_DOWN, {}, {.retry_after = milliseconds(1'000)});
  }
  if (extra) return extra_.Open(call, std::move(sink));
  const auto now = steady_clock::now();
  IM_RETURN_IF_ERROR(limits_.TakeForAddress(Action::kConnect, call.address, now));
  IM_ASSIGN_OR_RETURN(const rpc::Identity identity, Authenticate(call));
  IM_RETURN_IF_ERROR(limits_.TakeForDevice(Action::kConnect, call.address, identity.user_id,
                                           identity.device_id, now));
  const auto session =
      std::make_shared<Session>(&context_, ++numbers_, kind == Kind::kSubscribe, call, identity,
                                std::string(rpc::BearerToken(call.authorization)), std::move(sink));
  MutexLock lock(&mu_);
  // Beyond the sessions proper: those that begin or end.
  if (streams_.size() >= options_.session.max_streams + options_.session.max_streams / 8 + 8) {
    return Error(Reason::OVERLOADED, "the gateway holds as many streams as allowed",
                 {.retry_after = milliseconds(10'000)});
  }
  streams_.push_back(session);
  return std::shared_ptr<SessionEvents>(session);
}

std::shared_ptr<OngoingCall> Gateway::Call(const CallInfo& call, const grpc::ByteBuffer& request,
                                           Done done) {
  LogContext context(call.request_id);
  const auto fail = [&](const absl::Status& status) {
    done(rpc::ToGrpc(status), {});
    return nullptr;
  };
  const std::string package = PackageOf(call.path);
  const bool own = call.path == kSyncDevice;
  if (!own && !route_.Offers(package)) {
    return fail(Error(Reason::UNKNOWN_METHOD, absl::StrCat("no method ", call.path)));
  }
  if (request.Length() > options_.session.max_frame_bytes) {
    return fail(Error(Reason::REQUEST_TOO_LARGE));
  }
  const Action action = ActionOfMethod(call.path);
  const auto now = steady_clock::now();
  absl::Status limited = limits_.TakeForAddress(action, call.address, now);
  if (!limited.ok()) return fail(limited);
  if (own) {
    const absl::StatusOr<std::string> response = SyncDevice(call, request);
    if (!response.ok()) return fail(response.status());
    done(grpc::Status::OK, rpc::ToByteBuffer(*response));
    return nullptr;
  }
  // A token that is missing or bad is the service's to judge: some methods need none.
  const absl::StatusOr<rpc::Identity> identity = Authenticate(call);
  if (identity.ok()) {
    limited =
        limits_.TakeForDevice(action, call.address, identity->user_id, identity->device_id, now);
    if (!limited.ok()) return fail(limited);
  }
  return route_.Start(call, identity.ok() ? identity->user_id : 0, request, std::move(done));
}

absl::StatusOr<std::string> Gateway::SyncDevice(const CallInfo& call,
                                                const grpc::ByteBuffer& request) {
  IM_ASSIGN_OR_RETURN(const rpc::Identity identity, Authenticate(call));
  IM_RETURN_IF_ERROR(limits_.TakeForDevice(Action::kOther, call.address, identity.user_id,
                                           identity.device_id, steady_clock::now()));
  const auto sync = ParseSyncRequest(rpc::ToString(request));
  if (!sync) return Error(Reason::MALFORMED_REQUEST, "not a SyncDeviceRequest");
  const auto session = table_.FindDevice(identity.device_id);
  if (session == nullptr || session->id() != sync->session_id) {
    return Error(Reason::SESSION_NOT_FOUND);
  }
  IM_RETURN_IF_ERROR(
      session->Sync(std::string(rpc::BearerToken(call.authorization)), identity, sync->have));
  v1::SyncDeviceResponse response;
  *response.mutable_token_expires_at() =
      TimeUtil::MicrosecondsToTimestamp(std::chrono::duration_cast<std::chrono::microseconds>(
                                            session->expires_at().time_since_epoch())
                                            .count());
  return response.SerializeAsString();
}

}  // namespace im::gateway
