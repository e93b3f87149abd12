#include "gateway/session.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

namespace im::gateway {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr std::chrono::seconds kOpenRetry{1};
constexpr int kOpenTries = 10;

google::protobuf::Timestamp ToTimestamp(system_clock::time_point time) {
  return TimeUtil::MicrosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

prometheus::Gauge& SessionsGauge() {
  static auto& gauge = GaugeFamily("im_gateway_streams", "Open streams of devices.").Add({});
  return gauge;
}

// Of a Hello: unspecified is ONLINE.
bool IsDeviceStatus(int status) {
  return presence::v1::Status_IsValid(status) && status != presence::v1::STATUS_OFFLINE;
}

}  // namespace

std::string SessionId(const std::string& gateway_id, uint64_t number) {
  return absl::StrCat(gateway_id, "-", number);
}

Session::Session(const SessionContext* context, uint64_t number, bool subscribed,
                 const CallInfo& call, const rpc::Identity& identity, std::string access_token,
                 std::shared_ptr<Sink> sink)
    : context_(context),
      number_(number),
      subscribed_(subscribed),
      id_(SessionId(context->gateway_id, number)),
      request_id_(call.request_id),
      address_(call.address),
      user_id_(identity.user_id),
      device_id_(identity.device_id),
      sink_(std::move(sink)),
      outbox_(context->options.queue_bytes),
      held_(context->options.queue_bytes),
      places_(context->hub->links().all().size()),
      access_token_(std::move(access_token)),
      expires_at_(identity.expires_at),
      started_(steady_clock::now()),
      heard_at_(started_),
      written_at_(started_) {
  SessionsGauge().Increment();
}

Session::~Session() { SessionsGauge().Decrement(); }

void Session::OnHello(std::string_view bytes) {
  const auto hello = ParseHello(bytes);
  if (!hello) return Violate("the Hello is malformed");
  if (!IsDeviceStatus(hello->status)) return Fail(Error(Reason::STATUS_INVALID));
  {
    MutexLock lock(&mu_);
    if (phase_ != Phase::kNew) return;
    phase_ = Phase::kWaiting;
    status_ = hello->status;
    next_have_ = hello->have;
  }
  TryWelcome();
}

void Session::TryWelcome() {
  {
    MutexLock lock(&mu_);
    if (phase_ != Phase::kWaiting || context_->hub->epoch() == 0) return;
    phase_ = Phase::kJoining;
  }
  const auto replaced = context_->table->Add(shared_from_this());
  if (!replaced.ok()) return Fail(replaced.status());
  if (*replaced != nullptr) (*replaced)->EndReplaced();
  bool ended = false;
  {
    MutexLock lock(&mu_);
    ended = !Alive();
    if (!ended) Welcome();
  }
  if (ended) context_->table->Remove(*this);
  if (context_->is_revoked(device_id_)) return EndRevoked();
  Settle();
}

void Session::Welcome() {
  const SessionOptions& options = context_->options;
  v1::ServerFrame frame;
  auto* welcome = frame.mutable_welcome();
  welcome->set_session_id(id_);
  welcome->set_epoch(context_->hub->epoch());
  *welcome->mutable_heartbeat_interval() =
      TimeUtil::MillisecondsToDuration(options.heartbeat.count());
  *welcome->mutable_server_time() = ToTimestamp(system_clock::now());
  welcome->set_user_id(user_id_);
  welcome->set_device_id(device_id_);
  welcome->set_max_frame_bytes(static_cast<int32_t>(options.max_frame_bytes));
  *welcome->mutable_token_expires_at() = ToTimestamp(expires_at_);
  outbox_.Keep(MakeFrame(frame));
  phase_ = Phase::kOpening;
  for (const auto& link : context_->hub->links().all()) {
    if (const uint64_t generation = link->generation()) OpenAt(link.get(), generation);
  }
  Log(LogLevel::kInfo, "session_opened",
      {{"session", id_}, {"user", user_id_}, {"device", device_id_}, {"request", request_id_}});
}

bool Session::OpenAt(Link* link, uint64_t generation) {
  if (phase_ != Phase::kOpening && phase_ != Phase::kLive) return false;
  Place& place = PlaceOf(*link);
  if (generation < place.generation) return false;
  // Whoever learned of the link first opened it: the link's return, or this session's start.
  if (generation == place.generation) return place.at == At::kOpening;
  place = Place{.generation = generation};
  return SendOpen(link, generation);
}

bool Session::SendOpen(Link* link, uint64_t generation) {
  pb::GatewayItem item;
  auto* open = item.mutable_open();
  open->set_session(number_);
  open->set_access_token(access_token_);
  if (link->service() == Link::Service::kPresence) {
    open->set_status(static_cast<presence::v1::Status>(status_));
    open->set_primary(link == context_->hub->links().Pick(Link::Service::kPresence,
                                                          static_cast<uint64_t>(user_id_),
                                                          [](const Link&) { return true; }));
  }
  const bool sent = Enqueue(link, generation, std::move(item));
  PlaceOf(*link).at = sent ? At::kOpening : At::kNone;
  return sent;
}

bool Session::Enqueue(Link* link, uint64_t generation, pb::GatewayItem item) {
  touched_ |= uint64_t{1} << link->index();
  return link->Enqueue(generation, std::move(item));
}

bool Session::OnLinkUp(Link* link, uint64_t generation) {
  bool opened = false;
  {
    MutexLock lock(&mu_);
    opened = OpenAt(link, generation);
  }
  Settle();
  return opened;
}

bool Session::IsAt(const Link& link, uint64_t generation) const {
  const Place& place = places_[link.index()];
  return Alive() && place.generation == generation && place.at != At::kNone;
}

void Session::OnOpened(const Link& link, uint64_t generation) {
  {
    MutexLock lock(&mu_);
    if (!IsAt(link, generation)) return;
    PlaceOf(link).at = At::kOpened;
    CheckOpened();
    SendWaiting();
    TryResume();
  }
  Settle();
}

void Session::OnRefused(const Link& link, uint64_t generation, const common::v1::Failure& failure) {
  {
    MutexLock lock(&mu_);
    if (!IsAt(link, generation)) return;
    const auto reason = ParseReason(failure.reason());
    if (reason == Reason::DEVICE_REVOKED || reason == Reason::ACCOUNT_LOCKED) {
      EndLocked({.reason = v1::SESSION_END_REASON_DEVICE_REVOKED, .message = failure.message()});
    } else if (reason == Reason::TOKEN_EXPIRED || reason == Reason::TOKEN_INVALID) {
      EndLocked({.reason = v1::SESSION_END_REASON_TOKEN_EXPIRED,
                 .come_back = true,
                 .message = failure.message()});
    } else {
      Place& place = PlaceOf(link);
      place.at = At::kRefused;
      place.retry_at = steady_clock::now() + kOpenRetry;
      if (++place.refusals >= kOpenTries) {
        EndLocked({.reason = v1::SESSION_END_REASON_RECONNECT,
                   .come_back = true,
                   .returning = true,
                   .message = failure.message()});
      }
    }
  }
  Settle();
}

void Session::CheckOpened() {
  if (phase_ != Phase::kOpening) return;
  bool chat = false;
  for (const auto& link : context_->hub->links().all()) {
    const At at = PlaceOf(*link).at;
    if (at == At::kOpening || at == At::kRefused) return;
    chat |= at == At::kOpened && link->service() == Link::Service::kChat;
  }
  if (!chat) return;
  phase_ = Phase::kLive;
  TryResume();
}

// OpenSession once more makes presence send the whole picture. Not all the time: a picture that is
// itself too large for the queue would be dropped and asked for without end.
void Session::RefreshPresence(Time now) {
  presence_lost_ = false;
  presence_refreshed_at_ = now;
  for (const auto& link : context_->hub->links().all()) {
    const Place& place = PlaceOf(*link);
    if (link->service() == Link::Service::kPresence && place.at == At::kOpened) {
      SendOpen(link.get(), place.generation);
    }
  }
}

void Session::OnStatusSet(const Link& link, uint64_t generation, int status) {
  {
    MutexLock lock(&mu_);
    if (IsAt(link, generation)) TakeStatus(link, status);
  }
  Settle();
}

void Session::TakeStatus(const Link& source, int status) {
  if (status_ == status) return;
  status_ = status;
  for (const auto& link : context_->hub->links().all()) {
    const Place& place = PlaceOf(*link);
    if (link->service() != Link::Service::kPresence || link.get() == &source) continue;
    if (place.at == At::kOpened) SendOpen(link.get(), place.generation);
  }
}

bool Session::done() const {
  MutexLock lock(&mu_);
  return sink_ == nullptr;
}

size_t Session::queued_bytes() const {
  MutexLock lock(&mu_);
  return outbox_.bytes() + held_.bytes() + waiting_bytes_;
}

std::chrono::system_clock::time_point Session::expires_at() const {
  MutexLock lock(&mu_);
  return expires_at_;
}

void Session::Tick(Time now) {
  const SessionOptions& options = context_->options;
  std::shared_ptr<Sink> cut;
  absl::Status failed;
  bool waiting = false;
  {
    MutexLock lock(&mu_);
    waiting = phase_ == Phase::kWaiting;
    if (phase_ == Phase::kNew && now - started_ >= options.hello_timeout) {
      failed = Error(Reason::PROTOCOL_VIOLATION, "the first frame, Hello, did not come");
    } else if (waiting && now - started_ >= options.epoch_wait && context_->hub->epoch() == 0) {
      failed = Error(Reason::SERVICE_UNAVAILABLE, {}, {.retry_after = milliseconds(1'000)});
    } else if (phase_ == Phase::kOpening || phase_ == Phase::kLive) {
      TickLive(now);
    } else if (phase_ == Phase::kEnded && now - ended_at_ >= options.linger) {
      cut = sink_;
    }
  }
  if (!failed.ok()) return Fail(failed);
  if (waiting) TryWelcome();
  if (cut != nullptr) cut->Cut();
  Settle();
}

void Session::TickLive(Time now) {
  const SessionOptions& options = context_->options;
  if (system_clock::now() >= expires_at_) {
    return EndLocked({.reason = v1::SESSION_END_REASON_TOKEN_EXPIRED,
                      .come_back = true,
                      .message = "the access token expired"});
  }
  if (!paused_ && now - heard_at_ >= 3 * options.heartbeat) {
    return EndLocked({.reason = v1::SESSION_END_REASON_TIMED_OUT,
                      .come_back = true,
                      .message = "nothing was heard from the device"});
  }
  if (now - written_at_ >= options.heartbeat && outbox_.empty() && !sink_busy_) {
    outbox_.Keep(HeartbeatFrame());
  }
  for (const auto& link : context_->hub->links().all()) {
    Place& place = PlaceOf(*link);
    if (place.at == At::kRefused && now >= place.retry_at) SendOpen(link.get(), place.generation);
  }
  if (presence_lost_ && outbox_.empty() &&
      now - presence_refreshed_at_ >= options.presence_refresh) {
    RefreshPresence(now);
  }
  while (!waiting_.empty() && now >= waiting_.front().until) {
    AnswerFailure(waiting_.front().call_id,
                  Error(Reason::SERVICE_UNAVAILABLE, {}, {.retry_after = milliseconds(1'000)}));
    waiting_bytes_ -= waiting_.front().body.size();
    waiting_.pop_front();
  }
  TryResume();
  if (resync_at_ && now >= *resync_at_) {
    resync_at_.reset();
    Resync("resume_failed");
  }
}

}  // namespace im::gateway
