#include "common/bus/link_server.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/random.h"
#include "common/rpc/status.h"

namespace im::bus {
namespace {

using internal::v1::AttachRequest;
using internal::v1::AttachResponse;
using internal::v1::GatewayItem;
using internal::v1::ServiceItem;
using std::chrono::steady_clock;

// A gateway takes a message in one go, before it can write any of it to a client: all that one
// holds for the same device must fit into that device's queue (256 KB, and 64 bytes for each
// event). A larger one would save nothing.
constexpr size_t kMaxFrameBytes = 128 << 10;
constexpr std::chrono::seconds kHeartbeat{1};
// A gateway sends a sign of life every second.
constexpr std::chrono::seconds kSilence{10};

prometheus::Gauge& LinksGauge() {
  static auto& gauge = GaugeFamily("im_links", "Gateways that are linked.").Add({});
  return gauge;
}
prometheus::Counter& CutsCounter() {
  static auto& counter =
      CounterFamily("im_link_overflows_total", "Links cut since their queue was full.").Add({});
  return counter;
}

class RefusedLink : public grpc::ServerBidiReactor<AttachRequest, AttachResponse> {
 public:
  explicit RefusedLink(const absl::Status& status) { Finish(rpc::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

Link::Link(LinkServer* server, grpc::CallbackServerContext* context)
    : server_(server),
      context_(context),
      last_write_(steady_clock::now()),
      last_read_(steady_clock::now()) {}

void Link::Begin() {
  self_ = shared_from_this();
  StartRead(&in_);
}

std::string Link::gateway_id() const {
  MutexLock lock(&mu_);
  return gateway_id_;
}

void Link::Send(ServiceItem item) {
  MutexLock lock(&mu_);
  if (finished_ || overflowed_) return;
  const size_t bytes = item.ByteSizeLong() + 8;
  waiting_bytes_ += bytes;
  if (item.has_delivery()) delivery_bytes_ += bytes;
  waiting_.push_back({std::move(item), bytes, steady_clock::now()});
  if (waiting_bytes_ > server_->options_.max_queue_bytes) {
    Log(LogLevel::kWarning, "link_overflow", {{"gateway", gateway_id_}});
    CutsCounter().Increment();
    overflowed_ = true;
    waiting_.clear();
    waiting_bytes_ = delivery_bytes_ = 0;
    drained_.NotifyAll();
    context_->TryCancel();
    return;
  }
  if (writing_ || FlushScope::Defer(std::shared_ptr<Flushable>(shared_from_this(), this))) return;
  WriteLocked();
}

void Link::FlushNow() {
  MutexLock lock(&mu_);
  if (!writing_ && !finished_ && !waiting_.empty()) WriteLocked();
}

void Link::Answer(const Session& session, const internal::v1::SessionCall& call,
                  absl::StatusOr<std::string> response) {
  if (call.call_id() == 0) return;
  ServiceItem item;
  auto* answer = item.mutable_answer();
  answer->set_session(session.number);
  answer->set_call_id(call.call_id());
  answer->set_frame(call.frame());
  if (response.ok()) {
    answer->set_response(*std::move(response));
  } else {
    *answer->mutable_failure() = rpc::ToFailure(response.status());
  }
  Send(std::move(item));
}

std::vector<int64_t> Link::Held(const std::vector<int64_t>& users) const {
  std::vector<int64_t> held;
  MutexLock lock(&mu_);
  if (user_sessions_.size() < users.size() / 8) {
    // A large group and few users here: go through the smaller side.
    const std::set<int64_t> wanted(users.begin(), users.end());
    for (const auto& [user, count] : user_sessions_) {
      if (wanted.count(user) > 0) held.push_back(user);
    }
    return held;
  }
  for (const int64_t user : users) {
    if (user_sessions_.count(user) > 0) held.push_back(user);
  }
  return held;
}

std::vector<int64_t> Link::Users() const {
  std::vector<int64_t> users;
  MutexLock lock(&mu_);
  users.reserve(user_sessions_.size());
  for (const auto& [user, count] : user_sessions_) users.push_back(user);
  return users;
}

void Link::Cut() {
  MutexLock lock(&mu_);
  if (!done_) context_->TryCancel();
}

bool Link::IsLate() const {
  MutexLock lock(&mu_);
  return overflowed_ || (!waiting_.empty() &&
                         steady_clock::now() - waiting_.front().since > server_->options_.late);
}

bool Link::WaitForRoom(Part part, size_t bytes, std::chrono::milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  MutexLock lock(&mu_);
  const size_t& waiting = part == Part::kAll ? waiting_bytes_ : delivery_bytes_;
  while (!finished_ && !overflowed_ && waiting > bytes) {
    if (!drained_.WaitUntil(&mu_, deadline)) break;
  }
  return !finished_ && !overflowed_ && waiting <= bytes;
}

void Link::WriteLocked() {
  out_.Clear();
  size_t bytes = 0;
  while (!waiting_.empty() && bytes < kMaxFrameBytes) {
    Waiting& next = waiting_.front();
    bytes += next.bytes;
    if (next.item.has_delivery()) delivery_bytes_ -= next.bytes;
    *out_.add_items() = std::move(next.item);
    waiting_.pop_front();
  }
  waiting_bytes_ -= bytes;
  drained_.NotifyAll();
  writing_ = true;
  last_write_ = steady_clock::now();
  StartWrite(&out_);
}

void Link::FinishLocked(const grpc::Status& status) {
  if (finished_) return;
  finished_ = true;
  drained_.NotifyAll();
  Finish(status);
}

void Link::OnReadDone(bool ok) {
  if (!ok) {
    MutexLock lock(&mu_);
    FinishLocked(grpc::Status::OK);
    return;
  }
  {
    MutexLock lock(&mu_);
    last_read_ = steady_clock::now();
  }
  {
    FlushScope scope;
    for (GatewayItem& item : *in_.mutable_items()) Handle(&item);
  }
  in_.Clear();
  StartRead(&in_);
}

void Link::OnWriteDone(bool ok) {
  MutexLock lock(&mu_);
  writing_ = false;
  if (!ok) return FinishLocked(grpc::Status::OK);
  if (!finished_ && !waiting_.empty()) WriteLocked();
}

void Link::OnCancel() {
  MutexLock lock(&mu_);
  FinishLocked(grpc::Status::CANCELLED);
}

void Link::OnDone() {
  const std::shared_ptr<Link> self = std::move(self_);
  bool greeted = false;
  {
    MutexLock lock(&mu_);
    done_ = true;
    finished_ = true;
    drained_.NotifyAll();
    greeted = greeted_;
    waiting_.clear();
  }
  server_->Remove(self);
  if (greeted) server_->options_.handler->OnLinkDown(self);
  Log(LogLevel::kInfo, "link_down", {{"gateway", gateway_id()}});
}

void Link::Handle(GatewayItem* item) {
  LinkHandler* const handler = server_->options_.handler;
  const auto find = [this](uint64_t number) -> Session {
    MutexLock lock(&mu_);
    const auto found = sessions_.find(number);
    return found == sessions_.end() ? Session{} : found->second;
  };
  switch (item->item_case()) {
    case GatewayItem::kHello: {
      {
        MutexLock lock(&mu_);
        if (greeted_) return;
        greeted_ = true;
        gateway_id_ = item->hello().gateway_id();
      }
      Log(LogLevel::kInfo, "link_up", {{"gateway", item->hello().gateway_id()}});
      handler->OnLinkUp(self_);
      server_->Add(self_);
      return;
    }
    case GatewayItem::kOpen:
      return Open(item->open());
    case GatewayItem::kClose:
      return Close(item->close().session(), item->close().returning());
    case GatewayItem::kRenew:
      return Renew(item->renew());
    case GatewayItem::kCall: {
      const Session session = find(item->call().session());
      if (session.number == 0) {
        Session unknown;
        unknown.number = item->call().session();
        return Answer(unknown, item->call(), Error(Reason::SERVICE_UNAVAILABLE));
      }
      LogContext context(item->call().trace_id());
      return handler->OnCall(self_, session, std::move(*item->mutable_call()));
    }
    case GatewayItem::kCatchUp:
      return handler->OnCatchUp(self_, google::protobuf::util::TimeUtil::TimestampToMicroseconds(
                                           item->catch_up().since()));
    case GatewayItem::kResumeMore: {
      const Session session = find(item->resume_more().session());
      if (session.number != 0) handler->OnResumeMore(self_, session);
      return;
    }
    case GatewayItem::kAnnounced:
      return handler->OnAnnounced(self_);
    case GatewayItem::kHeartbeat:
    case GatewayItem::ITEM_NOT_SET:
      return;
  }
}

void Link::Open(const internal::v1::OpenSession& open) {
  ServiceItem item;
  const absl::StatusOr<rpc::Identity> identity =
      server_->options_.authenticate(open.access_token());
  if (!identity.ok() || open.session() == 0) {
    auto* refused = item.mutable_refused();
    refused->set_session(open.session());
    *refused->mutable_failure() = rpc::ToFailure(
        identity.ok() ? Error(Reason::PROTOCOL_VIOLATION, "session 0") : identity.status());
    return Send(std::move(item));
  }
  const Session session{open.session(), *identity, open.status(), open.primary()};
  bool known = false;
  {
    MutexLock lock(&mu_);
    known = !sessions_.insert_or_assign(session.number, session).second;
    if (!known) ++user_sessions_[session.identity.user_id];
  }
  server_->options_.handler->OnSessionOpened(self_, session);
  item.mutable_opened()->set_session(session.number);
  Send(std::move(item));
}

void Link::Renew(const internal::v1::RenewSession& renew) {
  ServiceItem item;
  absl::StatusOr<rpc::Identity> identity = server_->options_.authenticate(renew.access_token());
  if (identity.ok()) {
    MutexLock lock(&mu_);
    const auto found = sessions_.find(renew.session());
    if (found == sessions_.end() || found->second.identity.device_id != identity->device_id) {
      identity = Error(Reason::TOKEN_INVALID, "the token is not of this session's device");
    } else {
      found->second.identity = *identity;
    }
  }
  if (identity.ok()) {
    item.mutable_opened()->set_session(renew.session());
  } else {
    item.mutable_refused()->set_session(renew.session());
    *item.mutable_refused()->mutable_failure() = rpc::ToFailure(identity.status());
  }
  Send(std::move(item));
}

void Link::Close(uint64_t number, bool returning) {
  Session session;
  {
    MutexLock lock(&mu_);
    const auto found = sessions_.find(number);
    if (found == sessions_.end()) return;
    session = found->second;
    sessions_.erase(found);
    const auto user = user_sessions_.find(session.identity.user_id);
    if (--user->second == 0) user_sessions_.erase(user);
  }
  server_->options_.handler->OnSessionClosed(self_, session, returning);
}

LinkServer::LinkServer(LinkServerOptions options) : options_(std::move(options)) {
  hello_.set_instance_id(RandomHex(8));
  beat_ = std::make_unique<Ticker>(kHeartbeat, [this] { Beat(); });
}

LinkServer::~LinkServer() { beat_.reset(); }

grpc::ServerBidiReactor<AttachRequest, AttachResponse>* LinkServer::Attach(
    grpc::CallbackServerContext* context) {
  bool closing = false;
  {
    MutexLock lock(&mu_);
    closing = closing_;
  }
  if (closing) return new RefusedLink(Error(Reason::SHUTTING_DOWN));
  if (options_.ready && !options_.ready()) {
    return new RefusedLink(Error(Reason::SERVICE_UNAVAILABLE, "not ready yet"));
  }
  auto link = std::make_shared<Link>(this, context);
  link->Begin();
  return link.get();
}

void LinkServer::SetHello(const internal::v1::ServiceHello& hello) {
  ServiceItem item;
  std::vector<std::shared_ptr<Link>> links;
  {
    MutexLock lock(&mu_);
    const std::string instance_id = hello_.instance_id();
    hello_ = hello;
    hello_.set_instance_id(instance_id);
    *item.mutable_hello() = hello_;
    links.assign(links_.begin(), links_.end());
  }
  for (const auto& link : links) link->Send(item);
}

void LinkServer::Publish(const std::vector<int64_t>& audience,
                         const internal::v1::Publication& publication, const Link* sender) {
  for (const std::shared_ptr<Link>& link : Links()) {
    const std::vector<int64_t> held = link->Held(audience);
    if (held.empty()) continue;
    ServiceItem item;
    auto* copy = item.mutable_publication();
    *copy = publication;
    if (link.get() != sender) copy->clear_except_session();
    copy->mutable_user_ids()->Assign(held.begin(), held.end());
    link->Send(std::move(item));
  }
}

std::vector<std::shared_ptr<Link>> LinkServer::Links() const {
  MutexLock lock(&mu_);
  return {links_.begin(), links_.end()};
}

void LinkServer::Shutdown() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
  }
  for (const std::shared_ptr<Link>& link : Links()) link->Cut();
}

void LinkServer::Add(const std::shared_ptr<Link>& link) {
  ServiceItem item;
  {
    MutexLock lock(&mu_);
    links_.insert(link);
    LinksGauge().Set(static_cast<double>(links_.size()));
    *item.mutable_hello() = hello_;
    // Under the lock, so that a hello that SetHello sends afterwards comes after this one.
    link->Send(std::move(item));
  }
}

void LinkServer::Remove(const std::shared_ptr<Link>& link) {
  MutexLock lock(&mu_);
  links_.erase(link);
  LinksGauge().Set(static_cast<double>(links_.size()));
}

void LinkServer::Beat() {
  const auto now = steady_clock::now();
  for (const std::shared_ptr<Link>& link : Links()) {
    bool quiet = false;
    bool silent = false;
    {
      MutexLock lock(&link->mu_);
      quiet = !link->writing_ && now - link->last_write_ >= kHeartbeat;
      silent = now - link->last_read_ > kSilence;
    }
    if (silent) {
      Log(LogLevel::kWarning, "link_silent", {{"gateway", link->gateway_id()}});
      link->Cut();
    } else if (quiet) {
      ServiceItem item;
      item.mutable_heartbeat();
      link->Send(std::move(item));
    }
  }
}

}  // namespace im::bus
