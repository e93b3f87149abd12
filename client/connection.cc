#include "client/connection.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"

namespace im::client {

using gateway::v1::Answer;
using gateway::v1::ConnectRequest;
using gateway::v1::ConnectResponse;
using gateway::v1::GatewayService;
using gateway::v1::ServerFrame;
using google::protobuf::util::TimeUtil;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// Until Welcome says otherwise: how long a gateway may take to answer Hello, in thirds.
constexpr seconds kFirstInterval(5);
// How long the server has for the rest once it said SessionEnd.
constexpr seconds kEndGrace(2);
// After this an unanswered frame counts as lost; longer than any deadline inside the server.
constexpr seconds kAnswerLimit(45);
constexpr seconds kRefreshRetry(5);

}  // namespace

// The gRPC side. Its reactions only post to the strand; the next read starts when the frame before
// was handled, so that a slow client is slow to the server, too.
class Connection::Stream : public grpc::ClientBidiReactor<ConnectRequest, ConnectResponse> {
 public:
  Stream(std::shared_ptr<Connection> connection, const std::string& token)
      : connection_(std::move(connection)), stub_(connection_->channel_->grpc()) {
    AddToken(&context_, token);
    stub_.async()->Connect(&context_, this);
    // Writes come from outside of reactions; released when nothing can be written any more.
    AddHold();
    StartRead(&response_);
    StartCall();
  }

  // All on the strand.
  void Write(ConnectRequest frame) {
    if (!open_) return;
    frames_.push_back(std::move(frame));
    if (frames_.size() == 1) StartWrite(&frames_.front());
  }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    connection_->strand_.Post([this, ok] {
      if (!ok) {
        open_ = false;
        RemoveHold();
        return;
      }
      ServerFrame frame = std::move(*response_.mutable_frame());
      response_.Clear();
      connection_->Heard(std::move(frame));
      StartRead(&response_);
    });
  }
  void OnWriteDone(bool ok) override {
    connection_->strand_.Post([this, ok] {
      if (!ok) open_ = false;
      frames_.pop_front();
      // What was queued when the stream broke goes with it.
      if (!open_) return;
      if (!frames_.empty()) StartWrite(&frames_.front());
    });
  }
  void OnDone(const grpc::Status& status) override {
    const absl::Status result = rpc::FromGrpc(status);
    // Taken along, since deleting this lets go of it.
    const std::shared_ptr<Connection> connection = connection_;
    connection->strand_.Post([this, connection, result] {
      connection->Over(result);
      delete this;
    });
  }

 private:
  const std::shared_ptr<Connection> connection_;
  GatewayService::Stub stub_;
  grpc::ClientContext context_;
  ConnectResponse response_;
  // The first one is being written.
  std::deque<ConnectRequest> frames_;
  bool open_ = true;
};

std::shared_ptr<Connection> Connection::Open(std::shared_ptr<Channel> channel,
                                             std::shared_ptr<TokenSource> tokens, Timers* timers,
                                             const Strand& strand,
                                             std::shared_ptr<Listener> listener,
                                             const std::string& token,
                                             const gateway::v1::Hello& hello) {
  std::shared_ptr<Connection> connection(new Connection(
      std::move(channel), std::move(tokens), timers, strand, std::move(listener), token));
  connection->stream_ = new Stream(connection, token);
  ConnectRequest frame;
  *frame.mutable_hello() = hello;
  connection->Tell(std::move(frame));
  connection->Watch();
  return connection;
}

Connection::Connection(std::shared_ptr<Channel> channel, std::shared_ptr<TokenSource> tokens,
                       Timers* timers, const Strand& strand, std::shared_ptr<Listener> listener,
                       const std::string& token)
    : channel_(std::move(channel)),
      tokens_(std::move(tokens)),
      timers_(timers),
      strand_(strand),
      listener_(std::move(listener)),
      token_(token),
      interval_(kFirstInterval),
      last_sent_(timers->Now()),
      last_heard_(timers->Now()) {}

Connection::~Connection() = default;

void Connection::Call(ConnectRequest frame, Done done) {
  if (over_) return done(absl::UnavailableError("the connection is closed"));
  frame.set_call_id(++last_call_id_);
  waiting_.emplace(last_call_id_, Waiting{timers_->Now(), std::move(done)});
  Tell(std::move(frame));
}

void Connection::Tell(ConnectRequest frame) {
  if (over_) return;
  last_sent_ = timers_->Now();
  stream_->Write(std::move(frame));
}

void Connection::Close(const absl::Status& why) {
  if (over_) return;
  if (closed_by_us_.ok()) closed_by_us_ = why;
  stream_->Cancel();
}

void Connection::Heard(ServerFrame frame) {
  last_heard_ = timers_->Now();
  switch (frame.frame_case()) {
    case ServerFrame::kWelcome:
      return Welcomed(frame.welcome());
    case ServerFrame::kAnswer:
      return Answered(std::move(*frame.mutable_answer()));
    case ServerFrame::kHeartbeat:
      return;
    case ServerFrame::kSessionEnd:
      end_ = frame.session_end();
      timers_->After(kEndGrace, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
          self->strand_.Post([self] { self->Close(absl::UnavailableError("the server ended")); });
        }
      });
      return;
    default:
      if (welcomed_ && closed_by_us_.ok()) listener_->OnFrame(std::move(frame));
  }
}

void Connection::Welcomed(const gateway::v1::Welcome& welcome) {
  if (welcomed_) return;
  welcomed_ = true;
  interval_ = std::max<Clock::duration>(
      milliseconds(TimeUtil::DurationToMilliseconds(welcome.heartbeat_interval())),
      milliseconds(100));
  WatchAt(timers_->Now() + interval_);
  server_ahead_ = milliseconds(TimeUtil::TimestampToMilliseconds(welcome.server_time())) -
                  duration_cast<milliseconds>(timers_->Now().time_since_epoch());
  if (welcome.has_token_expires_at()) RefreshBefore(welcome.token_expires_at());
  listener_->OnWelcome(welcome);
}

void Connection::Answered(Answer answer) {
  const auto it = waiting_.find(answer.call_id());
  if (it == waiting_.end()) return;
  const Done done = std::move(it->second.done);
  waiting_.erase(it);
  if (answer.has_failure()) {
    done(rpc::FromFailure(answer.failure()));
  } else {
    done(std::move(answer));
  }
}

void Connection::Over(const absl::Status& status) {
  over_ = true;
  stream_ = nullptr;
  const absl::Status why = closed_by_us_.ok() ? status : closed_by_us_;
  std::map<uint64_t, Waiting> waiting;
  waiting.swap(waiting_);
  for (auto& [id, one] : waiting) {
    one.done(absl::UnavailableError("the connection was lost before the answer came"));
  }
  const std::shared_ptr<Listener> listener = std::move(listener_);
  listener->OnClosed(why, end_);
}

void Connection::WatchAt(Clock::time_point when) {
  timers_->After(when - timers_->Now(), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->strand_.Post([self] { self->Watch(); });
    }
  });
}

void Connection::Watch() {
  if (over_) return;
  const Clock::time_point now = timers_->Now();
  if (now >= last_heard_ + 3 * interval_) {
    return Close(absl::UnavailableError("nothing was heard from the server for too long"));
  }
  while (!waiting_.empty() && now >= waiting_.begin()->second.since + kAnswerLimit) {
    const Done done = std::move(waiting_.begin()->second.done);
    waiting_.erase(waiting_.begin());
    done(absl::DeadlineExceededError("the server did not answer"));
  }
  Clock::time_point next = last_heard_ + 3 * interval_;
  if (welcomed_) {
    if (now >= last_sent_ + interval_) {
      ConnectRequest frame;
      frame.mutable_heartbeat();
      Tell(std::move(frame));
    }
    next = std::min(next, last_sent_ + interval_);
  }
  WatchAt(next);
}

void Connection::RefreshBefore(const google::protobuf::Timestamp& expiry) {
  // By the server's own clock: ours may be off.
  const milliseconds life = milliseconds(TimeUtil::TimestampToMilliseconds(expiry)) -
                            server_ahead_ -
                            duration_cast<milliseconds>(timers_->Now().time_since_epoch());
  // With a fifth of its life left, so that a few failures do not matter.
  RefreshIn(std::max(life * 4 / 5, milliseconds(0)));
}

void Connection::RefreshIn(milliseconds delay) {
  timers_->After(delay, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->strand_.Post([self] { self->RefreshToken(); });
    }
  });
}

void Connection::RefreshToken() {
  if (over_ || end_) return;
  const auto again = [self = shared_from_this()] { self->RefreshIn(kRefreshRetry); };
  tokens_->GetToken(token_, [self = shared_from_this(), again](absl::StatusOr<std::string> token) {
    self->strand_.Post([self, again, token = std::move(token)] {
      // Without a new one the stream ends with TOKEN_EXPIRED, and the session sees why.
      if (!token.ok()) return again();
      self->token_ = *token;
      ConnectRequest frame;
      frame.mutable_refresh_token()->set_access_token(*token);
      self->Call(std::move(frame), [self, again](const absl::StatusOr<Answer>& answer) {
        if (self->over_) return;
        if (!answer.ok()) return again();
        self->RefreshBefore(answer->refresh_token().token_expires_at());
      });
    });
  });
}

}  // namespace im::client
