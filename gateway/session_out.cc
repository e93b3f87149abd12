// How the frames of a session are written, and how it ends.
#include <google/protobuf/util/time_util.h>

#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/random.h"
#include "common/rpc/status.h"
#include "gateway/session.h"

namespace im::gateway {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::steady_clock;

prometheus::Counter& FramesOutCounter() {
  static auto& counter =
      CounterFamily("im_gateway_frames_total", "Frames on streams.").Add({{"direction", "out"}});
  return counter;
}
prometheus::Family<prometheus::Counter>& EndsFamily() {
  static auto& family = CounterFamily("im_gateway_session_ends_total", "Sessions that ended.");
  return family;
}

}  // namespace

void Session::Fail(const absl::Status& status) {
  {
    MutexLock lock(&mu_);
    EndLocked({.status = status});
  }
  Settle();
}

void Session::Violate(const std::string& what) {
  End({.reason = v1::SESSION_END_REASON_PROTOCOL_VIOLATION,
       .message = what,
       .status = Error(Reason::PROTOCOL_VIOLATION, what)});
}

void Session::End(const SessionEnding& ending) {
  {
    MutexLock lock(&mu_);
    EndLocked(ending);
  }
  Settle();
}

void Session::EndForEpoch() {
  End({.reason = v1::SESSION_END_REASON_EPOCH_CHANGED,
       .come_back = true,
       .returning = true,
       .message = "the data is not what it was",
       .status = Error(Reason::SHUTTING_DOWN)});
}

void Session::EndReplaced() {
  End({.reason = v1::SESSION_END_REASON_REPLACED,
       .returning = true,
       .message = "the same device opened another stream",
       .status = Error(Reason::PROTOCOL_VIOLATION, "the same device opened another stream")});
}

void Session::EndRevoked() {
  End({.reason = v1::SESSION_END_REASON_DEVICE_REVOKED,
       .message = "the device was logged out or revoked",
       .status = Error(Reason::DEVICE_REVOKED)});
}

void Session::EndForRestart() {
  End({.reason = v1::SESSION_END_REASON_RECONNECT,
       .come_back = true,
       .returning = true,
       .message = "the gateway is being restarted",
       .status = Error(Reason::SHUTTING_DOWN, {}, {.retry_after = milliseconds(1'000)})});
}

void Session::EndLocked(const SessionEnding& ending) {
  if (!Alive()) return;
  const bool welcomed = phase_ == Phase::kOpening || phase_ == Phase::kLive;
  phase_ = Phase::kEnded;
  ended_at_ = steady_clock::now();
  outbox_.DropLive();
  if (ending.reason == v1::SESSION_END_REASON_DEVICE_REVOKED) outbox_.Clear();
  if (welcomed) {
    v1::ServerFrame frame;
    auto* end = frame.mutable_session_end();
    end->set_reason(ending.reason);
    end->set_message(ending.message);
    if (ending.come_back) {
      const auto jitter = static_cast<uint32_t>(context_->options.reconnect_jitter.count());
      *end->mutable_reconnect_after() = TimeUtil::MillisecondsToDuration(RandomBelow(jitter + 1));
    }
    outbox_.Keep(MakeFrame(frame));
    if (ending.reason == v1::SESSION_END_REASON_PROTOCOL_VIOLATION) end_status_ = ending.status;
  } else {
    end_status_ = ending.status;
  }
  const std::string reason =
      ending.reason == v1::SESSION_END_REASON_UNSPECIFIED
          ? std::string(ReasonName(ReasonOf(ending.status).value_or(Reason::CANCELLED)))
          : v1::SessionEndReason_Name(ending.reason);
  EndsFamily().Add({{"reason", reason}}).Increment();
  Log(LogLevel::kInfo, "session_ended",
      {{"session", id_}, {"user", user_id_}, {"device", device_id_}, {"reason", reason}});
  Leave(ending.returning);
}

void Session::Leave(bool returning) {
  for (const auto& link : context_->hub->links().all()) {
    Place& place = PlaceOf(*link);
    if (place.at == At::kNone) continue;
    pb::GatewayItem item;
    item.mutable_close()->set_session(number_);
    item.mutable_close()->set_returning(returning);
    Enqueue(link.get(), place.generation, std::move(item));
    place.at = At::kNone;
  }
  leaving_ = true;
  held_.Clear();
  waiting_.clear();
  waiting_bytes_ = 0;
  pending_.clear();
  resume_.reset();
  next_have_.reset();
}

void Session::OnClosed() {
  {
    MutexLock lock(&mu_);
    gone_ = true;
    if (Alive()) EndLocked({});
    outbox_.Clear();
  }
  Settle();
}

void Session::OnRoom() {
  {
    MutexLock lock(&mu_);
    sink_busy_ = false;
    written_at_ = steady_clock::now();
  }
  Settle();
}

bool Session::Full() const {
  if (phase_ == Phase::kWaiting || phase_ == Phase::kJoining) return true;
  const SessionOptions& options = context_->options;
  return pending_.size() + waiting_.size() + outbox_.answers() >= options.calls_in_flight ||
         waiting_bytes_ >= options.queue_bytes;
}

void Session::Settle() {
  uint64_t touched = 0;
  bool leave = false;
  {
    MutexLock lock(&mu_);
    touched = std::exchange(touched_, 0);
    leave = std::exchange(leaving_, false);
  }
  for (int i = 0; touched != 0; ++i, touched >>= 1) {
    if (touched & 1) context_->hub->links().at(i)->Flush();
  }
  if (leave) {
    context_->table->Remove(*this);
    context_->hub->Forget(number_);
  }
  Pump();
  std::shared_ptr<Sink> read;
  {
    MutexLock lock(&mu_);
    if (paused_ && sink_ != nullptr && !Full()) {
      paused_ = false;
      heard_at_ = steady_clock::now();
      read = sink_;
    }
  }
  if (read != nullptr) read->Read();
}

void Session::Pump() {
  while (WriteNext()) {
  }
}

// One thread at a time comes past the first lines: who takes the sink gives it back, or OnRoom
// does.
bool Session::WriteNext() {
  std::shared_ptr<Sink> sink;
  Frame frame;
  bool end = false;
  absl::Status status;
  uint64_t touched = 0;
  {
    MutexLock lock(&mu_);
    if (sink_ == nullptr || sink_busy_) return false;
    if (outbox_.Pop(&frame)) {
      sink = sink_;
      sink_busy_ = true;
      if (resume_ && resume_->page_waits) MoreResume();
      touched = std::exchange(touched_, 0);
    } else if (!Alive()) {
      sink = std::exchange(sink_, nullptr);
      end = true;
      status = end_status_;
    } else {
      return false;
    }
  }
  for (int i = 0; touched != 0; ++i, touched >>= 1) {
    if (touched & 1) context_->hub->links().at(i)->Flush();
  }
  if (end) {
    sink->End(rpc::ToGrpc(status));
    return false;
  }
  FramesOutCounter().Increment();
  if (!sink->Write(frame)) return false;
  MutexLock lock(&mu_);
  sink_busy_ = false;
  written_at_ = steady_clock::now();
  return true;
}

}  // namespace im::gateway
