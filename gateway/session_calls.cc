// The frames of a session's client, and the calls among them.
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/rpc/status.h"
#include "gateway/session.h"
#include "gateway/wire.h"

namespace im::gateway {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::steady_clock;

Link::Service ServiceOf(uint32_t frame) {
  return IsPresenceFrame(frame) ? Link::Service::kPresence : Link::Service::kChat;
}

prometheus::Counter& FramesInCounter() {
  static auto& counter =
      CounterFamily("im_gateway_frames_total", "Frames on streams.").Add({{"direction", "in"}});
  return counter;
}
prometheus::Counter& CallsCounter(Link::Service service, const pb::CallAnswer& answer) {
  static auto& family =
      CounterFamily("im_gateway_stream_calls_total", "Frames answered by a service.");
  const auto counter = [](Link::Service of, const std::string& reason) -> prometheus::Counter& {
    return family.Add(
        {{"service", of == Link::Service::kChat ? "chat" : "presence"}, {"reason", reason}});
  };
  // Not looked up for each message.
  static auto& chat_ok = counter(Link::Service::kChat, "OK");
  static auto& presence_ok = counter(Link::Service::kPresence, "OK");
  if (answer.has_failure()) return counter(service, answer.failure().reason());
  return service == Link::Service::kChat ? chat_ok : presence_ok;
}
prometheus::Counter& OverloadedCounter() {
  static auto& counter =
      CounterFamily("im_gateway_overloaded_total",
                    "Frames refused since the instance that they go to has too much to do.")
          .Add({});
  return counter;
}

}  // namespace

bool Session::OnFrame(std::string bytes) {
  FramesInCounter().Increment();
  bool first = false;
  {
    MutexLock lock(&mu_);
    if (!Alive()) return false;
    heard_at_ = steady_clock::now();
    first = phase_ == Phase::kNew;
  }
  if (subscribed_) {
    const auto hello = ParseSubscribeRequest(bytes);
    if (hello) {
      OnHello(*hello);
    } else {
      Violate("not a SubscribeRequest");
    }
    return false;
  }
  const auto frame = ParseClientFrame(bytes);
  const bool too_large = bytes.size() > context_->options.max_frame_bytes;
  const bool is_call = frame && (IsChatFrame(frame->number) || IsPresenceFrame(frame->number));
  if (!frame) {
    Violate("not a frame");
  } else if (too_large && !(is_call && !first)) {
    Violate("the frame is larger than Welcome.max_frame_bytes");
  } else if (first && frame->number == kHelloFrame) {
    OnHello(frame->body);
  } else if (first) {
    Violate("the first frame is not Hello");
  } else if (frame->number == kHelloFrame) {
    Violate("a second Hello");
  } else if (too_large) {
    {
      MutexLock lock(&mu_);
      AnswerFailure(frame->call_id, Error(Reason::REQUEST_TOO_LARGE));
    }
    Settle();
  } else {
    OnKnownFrame(*frame);
  }
  MutexLock lock(&mu_);
  paused_ = Full();
  return !paused_;
}

absl::Status Session::TakeFromLimits(uint32_t number) {
  const Action action = ActionOfFrame(number);
  const auto now = steady_clock::now();
  // The device's first: what it is refused is not taken from those who share its address.
  IM_RETURN_IF_ERROR(context_->limits->TakeForDevice(action, address_, user_id_, device_id_, now));
  return context_->limits->TakeForAddress(action, address_, now);
}

void Session::OnKnownFrame(const ClientFrame& frame) {
  // A sign of life, or something newer than this gateway that wants no answer.
  if (frame.number == kHeartbeatFrame || (frame.number == 0 && frame.call_id == 0)) return;
  const absl::Status limited = TakeFromLimits(frame.number);
  if (limited.ok() && frame.number == kRefreshTokenFrame) {
    return OnRefreshToken(frame.call_id, frame.body);
  }
  {
    MutexLock lock(&mu_);
    if (!Alive()) return;
    const auto now = steady_clock::now();
    if (!limited.ok()) {
      AnswerFailure(frame.call_id, limited);
      // Have has no answer that could say so: it is asked for again once there is room for it.
      if (frame.number == kHaveFrame) {
        resync_at_ = now + DetailsOf(limited).retry_after.value_or(milliseconds(0));
      }
    } else if (frame.number == kHaveFrame) {
      AskResume(std::string(frame.body));
    } else if (frame.number != 0) {
      OnCall(frame, now);
    } else {
      AnswerFailure(frame.call_id,
                    Error(Reason::UNKNOWN_METHOD, "the server does not know this frame"));
    }
  }
  Settle();
}

void Session::OnCall(const ClientFrame& frame, Time now) {
  Call call{frame.call_id, frame.number, std::string(frame.body),
            now + context_->options.call_wait};
  const auto same_service = [&](const Call& other) {
    return ServiceOf(other.number) == ServiceOf(call.number);
  };
  // None overtakes those that wait.
  const bool queue = std::any_of(waiting_.begin(), waiting_.end(), same_service);
  if (queue || !TrySend(&call)) {
    waiting_bytes_ += call.body.size();
    waiting_.push_back(std::move(call));
  }
}

Link* Session::PickOpened(Link::Service service, uint64_t key) const {
  return context_->hub->links().Pick(service, key, [this](const Link& link) IM_REQUIRES(mu_) {
    const Place& place = places_[link.index()];
    return place.at == At::kOpened && place.generation == link.generation();
  });
}

bool Session::TrySend(Call* call) {
  constexpr uint32_t kConversationId = 1;
  const Link::Service service = ServiceOf(call->number);
  uint64_t key = static_cast<uint64_t>(user_id_);
  int status = 0;
  if (service == Link::Service::kChat) {
    key = wire::FindVarint(call->body, kConversationId).value_or(key);
  } else if (call->number == kSetStatusFrame) {
    status = static_cast<int>(wire::FindVarint(call->body, 1).value_or(0));
  }
  Link* const link = PickOpened(service, key);
  if (link == nullptr) return false;
  const int lane = call->number == kSendMessageFrame ? link->lanes().Of(static_cast<int64_t>(key))
                                                     : Lanes::kNone;
  // An instance that does not keep up has enough to read for a while.
  if (link->backlog() > context_->options.link_backlog || link->lanes().IsFull(lane)) {
    OverloadedCounter().Increment();
    if (call->call_id != 0) outbox_.KeepAnswer(OverloadedFrame(call->call_id));
    return true;
  }
  const uint64_t generation = PlaceOf(*link).generation;
  pb::GatewayItem item;
  auto* session_call = item.mutable_call();
  session_call->set_session(number_);
  session_call->set_call_id(call->call_id);
  session_call->set_frame(static_cast<int32_t>(call->number));
  session_call->set_request(call->body);
  session_call->set_trace_id(absl::StrCat(request_id_, "-", call->call_id));
  if (!Enqueue(link, generation, std::move(item))) return false;
  if (call->call_id != 0) {
    pending_.push_back({call->call_id, call->number, link->index(), generation, status, lane});
  }
  return true;
}

void Session::SendWaiting() {
  std::list<Call> still;
  waiting_bytes_ = 0;
  bool blocked[2] = {false, false};
  for (Call& call : waiting_) {
    bool& is_blocked = blocked[static_cast<int>(ServiceOf(call.number))];
    if (!is_blocked && TrySend(&call)) continue;
    is_blocked = true;
    waiting_bytes_ += call.body.size();
    still.push_back(std::move(call));
  }
  waiting_ = std::move(still);
}

void Session::OnAnswer(Link* link, uint64_t generation, const pb::CallAnswer& answer) {
  {
    MutexLock lock(&mu_);
    if (!Alive()) return;
    const auto found = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& pending) {
      return pending.call_id == answer.call_id() && pending.link == link->index() &&
             pending.generation == generation &&
             pending.number == static_cast<uint32_t>(answer.frame());
    });
    if (found == pending_.end()) return;
    const Pending pending = *found;
    pending_.erase(found);
    if (answer.has_failure()) {
      if (answer.failure().reason() == ReasonName(Reason::OVERLOADED))
        link->lanes().SetFull(pending.lane);
      outbox_.KeepAnswer(FailureFrame(pending.call_id, answer.failure()));
    } else {
      outbox_.KeepAnswer(AnswerFrame(pending.call_id, pending.number, answer.response()));
      if (pending.number == kSetStatusFrame) TakeStatus(*link, pending.status);
    }
    CallsCounter(link->service(), answer).Increment();
  }
  Settle();
}

void Session::AnswerFailure(uint64_t call_id, const absl::Status& status) {
  if (call_id != 0 && Alive()) outbox_.KeepAnswer(FailureFrame(call_id, status));
}

void Session::OnRefreshToken(uint64_t call_id, std::string_view body) {
  v1::RefreshToken request;
  absl::StatusOr<rpc::Identity> identity = Error(Reason::MALFORMED_REQUEST, "not a RefreshToken");
  if (request.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    identity = context_->authenticate(request.access_token());
    if (identity.ok() && identity->device_id != device_id_) {
      identity = Error(Reason::TOKEN_INVALID, "the token is of another device");
    }
  }
  {
    MutexLock lock(&mu_);
    if (!Alive()) return;
    if (identity.ok()) {
      Renew(request.access_token(), *identity);
      v1::RefreshTokenAccepted accepted;
      *accepted.mutable_token_expires_at() = TimeUtil::MicrosecondsToTimestamp(
          std::chrono::duration_cast<std::chrono::microseconds>(expires_at_.time_since_epoch())
              .count());
      if (call_id != 0) {
        outbox_.KeepAnswer(AnswerFrame(call_id, kRefreshTokenFrame, accepted.SerializeAsString()));
      }
    } else {
      AnswerFailure(call_id, identity.status());
    }
  }
  Settle();
}

void Session::Renew(std::string access_token, const rpc::Identity& identity) {
  // A token that was refreshed earlier and arrives later does not shorten the stream.
  if (access_token == access_token_ || identity.expires_at < expires_at_) return;
  access_token_ = std::move(access_token);
  expires_at_ = identity.expires_at;
  for (const auto& link : context_->hub->links().all()) {
    const Place& place = PlaceOf(*link);
    if (place.at != At::kOpening && place.at != At::kOpened) continue;
    pb::GatewayItem item;
    item.mutable_renew()->set_session(number_);
    item.mutable_renew()->set_access_token(access_token_);
    Enqueue(link.get(), place.generation, std::move(item));
  }
}

absl::Status Session::Sync(std::string access_token, const rpc::Identity& identity,
                           std::optional<std::string> have) {
  {
    MutexLock lock(&mu_);
    if (!Alive()) return Error(Reason::SESSION_NOT_FOUND);
    heard_at_ = steady_clock::now();
    Renew(std::move(access_token), identity);
    if (have) AskResume(*std::move(have));
  }
  Settle();
  return absl::OkStatus();
}

void Session::OnLinkDown(const Link& link, uint64_t generation) {
  {
    MutexLock lock(&mu_);
    Place& place = PlaceOf(link);
    if (!Alive() || generation < place.generation) return;
    place = Place{.generation = generation};
    Fifo<Pending> pending;
    for (const Pending& call : pending_) {
      if (call.link != link.index() || call.generation != generation) {
        pending.push_back(call);
        continue;
      }
      // A message may have been stored: its sender finds out by sending it again.
      AnswerFailure(call.call_id,
                    Error(call.number == kSendMessageFrame ? Reason::OUTCOME_UNKNOWN
                                                           : Reason::SERVICE_UNAVAILABLE,
                          "the instance that had the call was lost"));
    }
    pending_ = std::move(pending);
    if (resume_ && resume_->link == link.index()) {
      resume_.reset();
      if (!next_have_) {
        Resync("instance_lost");
        StopHolding();
      }
    }
    CheckOpened();
    SendWaiting();
    TryResume();
  }
  Settle();
}

}  // namespace im::gateway
