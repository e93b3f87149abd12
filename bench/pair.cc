#include "bench/pair.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "bench/messages.h"
#include "im/chat/v1/conversations.grpc.pb.h"

namespace im::bench {

using gateway::v1::Answer;
using gateway::v1::ConnectRequest;
using gateway::v1::ServerFrame;
using std::chrono::steady_clock;

Pair::Pair(uint32_t number, int window, const Crowd* crowd)
    : number_(number),
      crowd_(crowd),
      one_(this, 0, (*crowd)[2 * number]),
      other_(this, 1, (*crowd)[2 * number + 1]) {
  balls_.resize(static_cast<size_t>(window));
}

absl::Status Pair::Connect() {
  chat::v1::OpenDirectRequest request;
  request.set_user_id(other_.person_.account.user_id);
  const auto opened = crowd_->channel().Call(&chat::v1::ConversationService::Stub::OpenDirect,
                                             request, one_.person_.token);
  if (!opened.ok()) return opened.status();
  conversation_id_ = opened->conversation().conversation_id();
  for (Side* side : {&one_, &other_}) {
    side->client_ = std::make_unique<LeanClient>(crowd_->loop(), side->person_.token, side);
  }
  return absl::OkStatus();
}

bool Pair::ready() const {
  MutexLock lock(&mu_);
  return one_.caught_up_ && other_.caught_up_;
}

absl::Status Pair::failure() const {
  MutexLock lock(&mu_);
  return result_.failure;
}

void Pair::Fail(const absl::Status& status) {
  if (result_.failure.ok()) result_.failure = status;
}

bool Pair::ParseRequestId(const std::string& id, uint32_t* ball, uint32_t* number) const {
  const auto parsed = RequestNumber::FromId(id);
  if (!parsed || parsed->a != number_) return false;
  *ball = parsed->b;
  *number = parsed->c;
  return true;
}

void Pair::Throw(uint32_t ball, uint32_t number) {
  ConnectRequest frame;
  frame.set_call_id(uint64_t{ball} << 32 | (uint64_t{number} + 1));
  FillMessage({number_, ball, number}, conversation_id_, frame.mutable_send_message());
  Side& sender = SenderOf(ball, number) == 0 ? one_ : other_;
  sender.client_->Send(frame);
}

void Pair::Start() {
  const auto window = [this] {
    MutexLock lock(&mu_);
    for (Ball& ball : balls_) {
      ball.in_the_air = true;
      ball.sent = steady_clock::now();
    }
    return static_cast<uint32_t>(balls_.size());
  }();
  for (uint32_t i = 0; i < window; ++i) Throw(i, 0);
}

void Pair::Measure(bool on) {
  MutexLock lock(&mu_);
  measuring_ = on;
}

void Pair::Finish() {
  MutexLock lock(&mu_);
  finishing_ = true;
}

bool Pair::landed() const {
  MutexLock lock(&mu_);
  if (!result_.failure.ok()) return true;
  return std::all_of(balls_.begin(), balls_.end(), [](const Ball& ball) {
    return !ball.in_the_air && ball.stored.size() == ball.received.size() &&
           std::count(ball.stored.begin(), ball.stored.end(), 0) == 0;
  });
}

void Pair::Received(Side* side, const chat::v1::Entry& entry) {
  const auto now = steady_clock::now();
  uint32_t index = 0, number = 0;
  {
    MutexLock lock(&mu_);
    if (!ParseRequestId(entry.request_id(), &index, &number) || index >= balls_.size() ||
        entry.conversation_id() != conversation_id_ || SenderOf(index, number) == side->index_) {
      ++result_.corrupted;
      return;
    }
    Ball& ball = balls_[index];
    if (number < ball.received.size()) {
      ++(ball.received[number] == entry.seq() ? result_.repeats : result_.duplicated);
      return;
    }
    if (entry.message().text().body() != MessageBody({number_, index, number}) ||
        !ball.in_the_air || number != ball.number) {
      ++result_.corrupted;
      return;
    }
    if (!side->newest_received_.Rises(entry.seq())) ++result_.reordered;
    ball.received.push_back(entry.seq());
    ++result_.messages;
    if (measuring_) {
      ++result_.measured;
      result_.latency.Record(
          std::chrono::duration_cast<std::chrono::microseconds>(now - ball.sent).count());
    }
    ball.in_the_air = !finishing_;
    number = ++ball.number;
    if (finishing_) return;
    ball.sent = now;
  }
  Throw(index, number);
}

void Pair::Stored(const Answer& answer) {
  MutexLock lock(&mu_);
  if (answer.has_failure()) {
    return Fail(absl::AbortedError(
        absl::StrCat(answer.failure().reason(), ": ", answer.failure().message())));
  }
  const auto ball = static_cast<uint32_t>(answer.call_id() >> 32);
  const auto number = static_cast<uint32_t>(answer.call_id()) - 1;
  if (ball >= balls_.size() || number > balls_[ball].number) {
    ++result_.corrupted;
    return;
  }
  auto& stored = balls_[ball].stored;
  if (stored.size() <= number) stored.resize(number + 1);
  stored[number] = answer.send_message().seq();
}

void Pair::Side::OnFrame(const ServerFrame& frame) {
  switch (frame.frame_case()) {
    case ServerFrame::kChat:
      if (frame.chat().has_entry()) pair_->Received(this, frame.chat().entry());
      return;
    case ServerFrame::kAnswer:
      return pair_->Stored(frame.answer());
    case ServerFrame::kCaughtUp: {
      MutexLock lock(&pair_->mu_);
      caught_up_ = true;
      return;
    }
    case ServerFrame::kResync:
    case ServerFrame::kSessionEnd: {
      // Nothing breaks in this scenario; where it does, the figures mean nothing.
      MutexLock lock(&pair_->mu_);
      return pair_->Fail(absl::AbortedError(frame.has_resync() ? "the server said Resync"
                                                               : frame.session_end().message()));
    }
    default:
      return;
  }
}

void Pair::Side::OnClosed(const absl::Status& status) {
  MutexLock lock(&pair_->mu_);
  if (pair_->closing_) return;
  pair_->Fail(status.ok() ? absl::AbortedError("the server ended the stream") : status);
}

Pair::Result Pair::Judge() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
  }
  one_.client_.reset();
  other_.client_.reset();
  const auto stored =
      ReadMessages(&crowd_->channel(), one_.person_.token, conversation_id_, number_);
  MutexLock lock(&mu_);
  if (stored.ok()) {
    Compare(*stored);
  } else {
    Fail(stored.status());
  }
  return result_;
}

void Pair::Compare(const StoredMessages& stored) {
  result_.lost += stored.lost;
  result_.duplicated += stored.duplicated;
  result_.corrupted += stored.corrupted;
  for (uint32_t i = 0; i < balls_.size(); ++i) {
    const Ball& ball = balls_[i];
    // Sent and never received.
    if (ball.in_the_air) ++result_.lost;
    for (uint32_t number = 0; number < ball.received.size(); ++number) {
      const int64_t received = ball.received[number];
      const int64_t told = number < ball.stored.size() ? ball.stored[number] : 0;
      const int64_t seq = stored.SeqOf(i, number);
      // Received and not there; or its sender was never told. Or both know another place.
      if (seq == 0) ++result_.lost;
      if (seq != 0 && seq != received) ++result_.duplicated;
      if (told == 0) ++result_.lost;
      if (told != 0 && told != received) ++result_.duplicated;
    }
  }
}

}  // namespace im::bench
