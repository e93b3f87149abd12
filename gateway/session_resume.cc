// A session's resumes and live events.
#include <utility>

#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/rpc/status.h"
#include "gateway/session.h"

namespace im::gateway {
namespace {

using std::chrono::steady_clock;

prometheus::Family<prometheus::Counter>& ResyncsFamily() {
  static auto& family =
      CounterFamily("im_gateway_resyncs_total", "Times a device was told to send Have again.");
  return family;
}
}  // namespace

void Session::AskResume(std::string have) {
  resync_at_.reset();
  // While one runs, it is brought to its end first: what comes of it is indistinguishable from what
  // comes of the next.
  next_have_ = std::move(have);
  if (resume_ && resume_->page_waits) MoreResume();
  TryResume();
}

void Session::TryResume() {
  if (resume_ || !next_have_ || phase_ != Phase::kLive) return;
  Link* const link = PickOpened(Link::Service::kChat, static_cast<uint64_t>(user_id_));
  // As for calls; Tick tries again.
  if (link == nullptr || link->backlog() > context_->options.link_backlog) return;
  const uint64_t generation = PlaceOf(*link).generation;
  pb::GatewayItem item;
  auto* call = item.mutable_call();
  call->set_session(number_);
  call->set_frame(kHaveFrame);
  call->set_request(*next_have_);
  call->set_trace_id(request_id_);
  if (!Enqueue(link, generation, std::move(item))) return;
  next_have_.reset();
  resume_ = Resume{link->index(), generation};
  holding_ = true;
  hold_overflowed_ = false;
}

template <typename Add>
void Session::AddLive(const Add& add) {
  Outbox& box = holding_ ? held_ : outbox_;
  if (holding_ && hold_overflowed_) return;
  const uint64_t dropped = box.fleeting_dropped();
  if (!add(&box)) {
    presence_lost_ = true;
    if (holding_) {
      hold_overflowed_ = true;
    } else {
      Resync("slow");
    }
  }
  if (box.fleeting_dropped() != dropped) presence_lost_ = true;
}

void Session::OnDelivery(const Link& link, uint64_t generation, const std::string& event) {
  {
    MutexLock lock(&mu_);
    if (link.service() == Link::Service::kPresence) {
      // Those who are there, told to this device alone.
      if (IsAt(link, generation)) {
        AddLive([frame = EventFrame(kPresenceEvent, event)](Outbox* box) {
          return box->AddPicture(frame);
        });
      }
    } else if (resume_ && resume_->link == link.index() && resume_->generation == generation) {
      outbox_.Keep(EventFrame(kChatEvent, event));
    }
  }
  Settle();
}

void Session::OnResumePageEnd(const Link& link, uint64_t generation) {
  {
    MutexLock lock(&mu_);
    if (!resume_ || resume_->link != link.index() || resume_->generation != generation) return;
    resume_->page_waits = true;
    MoreResume();
  }
  Settle();
}

// Asks for the next page once most of the last one has been written.
void Session::MoreResume() {
  if (outbox_.bytes() > context_->options.queue_bytes / 2) return;
  pb::GatewayItem item;
  item.mutable_resume_more()->set_session(number_);
  resume_->page_waits = false;
  Enqueue(context_->hub->links().at(resume_->link), resume_->generation, std::move(item));
}

void Session::OnResumeEnd(const Link& link, uint64_t generation, const pb::ResumeEnd& end) {
  {
    MutexLock lock(&mu_);
    if (!resume_ || resume_->link != link.index() || resume_->generation != generation) return;
    resume_.reset();
    if (end.has_failure()) {
      Log(LogLevel::kWarning, "resume_failed",
          {{"session", id_}, {"reason", end.failure().reason()}});
      if (end.failure().code() == static_cast<int>(absl::StatusCode::kInvalidArgument)) {
        EndLocked({.reason = v1::SESSION_END_REASON_PROTOCOL_VIOLATION,
                   .message = end.failure().message(),
                   .status = rpc::FromFailure(end.failure())});
      } else {
        resync_at_ = steady_clock::now() + context_->options.resync_delay;
        StopHolding();
      }
    } else if (!next_have_) {
      if (hold_overflowed_) {
        Resync("held_overflow");
      } else {
        v1::ServerFrame frame;
        frame.mutable_caught_up()->set_own_log_position(end.own_log_position());
        outbox_.Keep(MakeFrame(frame));
      }
      StopHolding();
    }
    TryResume();
  }
  Settle();
}

void Session::StopHolding() {
  holding_ = false;
  hold_overflowed_ = false;
  outbox_.Append(&held_);
}

void Session::Resync(const char* why) {
  outbox_.AddResync();
  ResyncsFamily().Add({{"why", why}}).Increment();
}

void Session::Publish(const Frame& frame, const std::string& replace_key, bool fleeting) {
  {
    MutexLock lock(&mu_);
    if (phase_ != Phase::kOpening && phase_ != Phase::kLive) return;
    AddLive([&](Outbox* box) { return box->AddLive(frame, replace_key, fleeting); });
  }
  Settle();
}

}  // namespace im::gateway
