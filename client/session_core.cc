#include "client/session_core.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "common/base/error.h"

namespace im::client {

using gateway::v1::ConnectRequest;
using gateway::v1::ServerFrame;
using gateway::v1::SessionEnd;
using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;

namespace {

// A stream that was live for this long had nothing wrong with it: the next wait is short again.
constexpr std::chrono::seconds kGoodStream(5);
// An earlier stream of this device may be opened so late, if the network held up its first bytes.
constexpr std::chrono::seconds kLateStream(30);

absl::Status WhyNotBack(const SessionEnd& end) {
  switch (end.reason()) {
    case gateway::v1::SESSION_END_REASON_DEVICE_REVOKED:
      return Error(Reason::DEVICE_REVOKED, end.message());
    case gateway::v1::SESSION_END_REASON_REPLACED:
      return absl::AbortedError("the same device opened another stream");
    default:
      return Error(Reason::PROTOCOL_VIOLATION, end.message());
  }
}

bool IsFinal(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsInvalidArgument(status) ||
         absl::IsUnimplemented(status) || ReasonOf(status) == Reason::DEVICE_REVOKED;
}

}  // namespace

Session::Core::Core(std::shared_ptr<Channel> channel, std::shared_ptr<TokenSource> tokens,
                    Timers* timers, Observer* observer, SessionOptions options)
    : channel_(std::move(channel)),
      tokens_(std::move(tokens)),
      timers_(timers),
      observer_(observer),
      options_(std::move(options)),
      backoff_(options_.reconnect, options_.uniform),
      fetch_backoff_(options_.resend, options_.uniform),
      inbox_(this),
      outbox_([this] { return Backoff(options_.resend, options_.uniform); }) {
  const Snapshot& snapshot = options_.snapshot;
  if (snapshot.have.epoch() != 0) {
    epoch_ = snapshot.have.epoch();
    listed_ = true;
    own_log_position_ = snapshot.have.own_log_position();
    inbox_.Restore(snapshot.have, snapshot.conversations);
  }
}

void Session::Core::Post(std::function<void(Core&)> work) {
  strand_.Post([self = shared_from_this(), work = std::move(work)] { work(*self); });
}

void Session::Core::After(Clock::duration delay, std::function<void(Core&)> work) {
  timers_->After(delay,
                 [weak = weak_from_this(), generation = generation_, work = std::move(work)] {
                   const auto self = weak.lock();
                   if (self == nullptr) return;
                   self->Post([generation, work](Core& core) {
                     if (core.generation_ == generation && !core.stopping_) work(core);
                   });
                 });
}

void Session::Core::Start() { Connect(); }

void Session::Core::Stop(std::function<void()> stopped) {
  if (!stopping_) {
    stopping_ = true;
    outbox_.Fail(absl::CancelledError("the session was stopped"));
    if (connection_ != nullptr) connection_->Close(absl::CancelledError("the session was stopped"));
  }
  if (connection_ == nullptr) return stopped();
  stopped_ = std::move(stopped);
}

void Session::Core::Tell(ConnectionState state, const absl::Status& why, milliseconds retry_in) {
  if (!stopping_) observer_->OnConnection(state, why, retry_in);
}

void Session::Core::Connect() {
  ++generation_;
  Tell(ConnectionState::kConnecting);
  tokens_->GetToken(refused_token_, [self = shared_from_this(),
                                     generation = generation_](absl::StatusOr<std::string> token) {
    self->Post([generation, token = std::move(token)](Core& core) {
      if (core.generation_ == generation && !core.stopping_) core.OpenWith(token);
    });
  });
}

void Session::Core::OpenWith(const absl::StatusOr<std::string>& token) {
  if (!token.ok()) {
    if (absl::IsUnauthenticated(token.status()) || absl::IsPermissionDenied(token.status())) {
      return End(token.status());
    }
    return TryAgain(token.status(), backoff_.Next());
  }
  token_ = *token;
  refused_token_.clear();
  if (!listed_) inbox_.BeginListing();
  gateway::v1::Hello hello;
  *hello.mutable_have() = MakeHave();
  hello.set_status(options_.status);
  connection_ =
      Connection::Open(channel_, tokens_, timers_, strand_, shared_from_this(), token_, hello);
}

void Session::Core::OnWelcome(const gateway::v1::Welcome& welcome) {
  if (stopping_) return;
  refused_in_a_row_ = 0;
  welcomed_at_ = timers_->Now();
  ++counts_.connections;
  user_id_ = welcome.user_id();
  inbox_.SetUser(user_id_);
  observer_->OnWelcome(welcome);
  if (epoch_ != 0 && epoch_ != welcome.epoch()) {
    inbox_.Forget();
    inbox_.BeginListing();
    own_log_position_ = 0;
    listed_ = false;
    observer_->OnForgotten();
  }
  epoch_ = welcome.epoch();
  resuming_ = true;
  resume_again_ = false;
  Tell(ConnectionState::kResuming);
}

void Session::Core::OnFrame(ServerFrame frame) {
  if (stopping_) return;
  switch (frame.frame_case()) {
    case ServerFrame::kChat:
      return OnChat(frame.chat());
    case ServerFrame::kPresence:
      return observer_->OnPresence(frame.presence());
    case ServerFrame::kCaughtUp:
      return CaughtUp(frame.caught_up().own_log_position());
    case ServerFrame::kResync:
      ++counts_.resyncs;
      // Instead of the CaughtUp of a pass that runs, or of any before it.
      resuming_ = false;
      resume_again_ = false;
      return SendHave();
    default:
      return;  // of a newer server
  }
}

void Session::Core::OnClosed(const absl::Status& status, const std::optional<SessionEnd>& end) {
  connection_ = nullptr;
  // What was asked while it lasted is answered to nobody, from now on and not from the next
  // connection on only: the end of a list must not make a session live that has no stream.
  ++generation_;
  if (stopping_) {
    if (stopped_) stopped_();
    return;
  }
  if (live_ && timers_->Now() - live_since_ >= kGoodStream) backoff_.Reset();
  live_ = false;
  listing_ = false;
  // The next Have acknowledges what these would have.
  delivered_.clear();
  inbox_.Abandon();
  outbox_.ConnectionLost();
  if (end) {
    if (end->reason() == gateway::v1::SESSION_END_REASON_REPLACED &&
        timers_->Now() - welcomed_at_ < kLateStream && !std::exchange(replaced_, true)) {
      // By one that nobody listens to any more, maybe. By another program: it does the same, and
      // this is the end of it.
      return TryAgain(WhyNotBack(*end), backoff_.Next());
    }
    if (!end->has_reconnect_after() &&
        end->reason() != gateway::v1::SESSION_END_REASON_TOKEN_EXPIRED) {
      return End(WhyNotBack(*end));
    }
    if (end->reason() == gateway::v1::SESSION_END_REASON_TOKEN_EXPIRED) refused_token_ = token_;
    return TryAgain(absl::UnavailableError(end->message()),
                    milliseconds(TimeUtil::DurationToMilliseconds(end->reconnect_after())));
  }
  if (IsFinal(status)) return End(status);
  if (absl::IsUnauthenticated(status)) {
    refused_token_ = token_;
    if (++refused_in_a_row_ == 1) return TryAgain(status, milliseconds(0));
    // A new one that is refused as well will not get better, unless a clock is wrong there.
    if (ReasonOf(status) != Reason::TOKEN_EXPIRED) return End(status);
    return TryAgain(status, backoff_.Next());
  }
  const auto asked = DetailsOf(status).retry_after;
  TryAgain(status.ok() ? absl::UnavailableError("the server ended the stream") : status,
           backoff_.Next() + asked.value_or(milliseconds(0)));
}

void Session::Core::TryAgain(const absl::Status& why, milliseconds delay) {
  After(delay, [](Core& core) { core.Connect(); });
  Tell(ConnectionState::kWaiting, why, delay);
}

void Session::Core::End(const absl::Status& why) {
  ended_ = why;
  outbox_.Fail(why);
  Tell(ConnectionState::kEnded, why);
}

chat::v1::Have Session::Core::MakeHave() const {
  chat::v1::Have have;
  have.set_epoch(epoch_);
  have.set_own_log_position(own_log_position_);
  have.set_only_listed(!listed_);
  inbox_.FillHave(&have);
  return have;
}

void Session::Core::SendHave() {
  if (connection_ == nullptr || epoch_ == 0) return;
  if (resuming_) {
    resume_again_ = true;
    return;
  }
  resuming_ = true;
  ConnectRequest frame;
  *frame.mutable_have() = MakeHave();
  connection_->Tell(std::move(frame));
}

void Session::Core::CaughtUp(int64_t own_log_position) {
  resuming_ = false;
  own_log_position_ = std::max(own_log_position_, own_log_position);
  if (resume_again_) {
    resume_again_ = false;
    return SendHave();
  }
  if (!listed_) {
    if (!std::exchange(listing_, true)) ListPage("");
    return;
  }
  if (!live_) BecomeLive();
}

void Session::Core::BecomeLive() {
  live_ = true;
  live_since_ = timers_->Now();
  // A loop, ended by the next connection.
  struct Comparison {
    static void Again(Core& core) {
      core.After(core.options_.have_every, [](Core& later) {
        later.SendHave();
        Again(later);
      });
    }
  };
  Comparison::Again(*this);
  Tell(ConnectionState::kLive);
  Flush();
  FlushMarks();
}

Snapshot Session::Core::GetSnapshot() const {
  Snapshot snapshot;
  if (!listed_) return snapshot;
  snapshot.have = MakeHave();
  snapshot.conversations = inbox_.Known();
  return snapshot;
}

SessionCounts Session::Core::counts() const {
  SessionCounts counts = counts_;
  counts.repeats = inbox_.repeats();
  return counts;
}

}  // namespace im::client
