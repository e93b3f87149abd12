#include "gateway/http2/call.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/rpc/bytes.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"

namespace im::gateway::http2 {
namespace {

// What may wait here for one stream, so that several events leave in one send; the session's own
// queue, where events can be dropped or replaced, holds the rest.
constexpr size_t kBudgetBytes = 32 << 10;

prometheus::Counter& NotTakenCounter() {
  static auto& counter =
      CounterFamily("im_gateway_responses_not_taken_total",
                    "Calls cut since their client did not read the end of the response.")
          .Add({});
  return counter;
}

prometheus::Counter& NotSentCounter() {
  static auto& counter =
      CounterFamily("im_gateway_requests_not_sent_total",
                    "Calls ended since their client did not send the whole request or message.")
          .Add({});
  return counter;
}

}  // namespace

Call::Call(Loop* loop, Stream* stream, int32_t id, std::string address,
           std::shared_ptr<AddressUse> use, const CallOptions* options)
    : loop_(loop->shared_from_this()),
      id_(id),
      options_(options),
      use_(std::move(use)),
      stream_(stream),
      headers_(std::make_unique<Headers>()),
      reader_(options->max_message_bytes),
      partial_since_(Loop::Clock::now()) {
  headers_->call.address = std::move(address);
  headers_->call.deadline = std::chrono::system_clock::time_point::max();
  use_->calls.fetch_add(1);
}

Call::~Call() { use_->calls.fetch_sub(1); }

void Call::StartUnary(const std::string& request) {
  const std::unique_ptr<Headers> headers = std::move(headers_);
  // From now on the client's own, if it named one.
  StopDeadline();
  if (headers->call.deadline != std::chrono::system_clock::time_point::max()) {
    const auto left = headers->call.deadline - std::chrono::system_clock::now();
    deadline_ = loop_->CallAt(Loop::Clock::now() + left, this);
  }
  auto ongoing = front_->Call(
      headers->call, rpc::ToByteBuffer(request),
      [self = shared_from_this()](const grpc::Status& status, const grpc::ByteBuffer& response) {
        if (status.ok()) self->Write(Frame(rpc::ToString(response)));
        self->End(status);
      });
  ongoing_ = std::move(ongoing);
}

void Call::StopDeadline() {
  if (const auto deadline = std::exchange(deadline_, std::nullopt)) loop_->TakeBack(*deadline);
}

void Call::OnGone() {
  StopDeadline();
  stream_ = nullptr;
  finished_ = true;
  CountPartial();
  end_.reset();
  out_.clear();
  if (const auto ongoing = std::exchange(ongoing_, nullptr)) ongoing->Cancel();
  TellClosed();
  GiveRoom();
}

void Call::OnDeadline() {
  StopDeadline();
  if (!finished_) {
    if (kind_ == Front::Kind::kUnary && headers_ != nullptr) NotSentCounter().Increment();
    return Refuse(Error(Reason::DEADLINE_EXCEEDED));
  }
  NotTakenCounter().Increment();
  stream_->Reset(id_);
}

void Call::OnTick(Loop::Clock::time_point now) {
  // A unary request has its deadline, from the end of its headers on.
  const bool timed = headers_end_ && (partial_ == 0 || kind_ == Front::Kind::kUnary);
  if (finished_ || paused_ || timed) return;
  if (now - partial_since_ < options_->request_patience) return;
  NotSentCounter().Increment();
  // No answer to half a question; without a call the connection is idle.
  if (!std::exchange(headers_end_, true)) {
    finished_ = true;
    return stream_->Reset(id_);
  }
  Refuse(Error(Reason::DEADLINE_EXCEEDED, "the message did not come to its end"));
}

void Call::Refuse(const absl::Status& status) {
  Finish(rpc::ToGrpc(status));
  // Who answers has nobody to answer any more.
  if (const auto ongoing = std::exchange(ongoing_, nullptr)) ongoing->Cancel();
  TellClosed();
}

void Call::TellClosed() {
  if (events_ != nullptr && !std::exchange(closed_told_, true)) events_->OnClosed();
}

void Call::Finish(const grpc::Status& status) {
  if (finished_) return;
  finished_ = true;
  StopDeadline();
  CountPartial();
  stream_->Consume(id_, std::exchange(unconsumed_, 0));
  if (!responded_) {
    Metadata headers = response_headers_.Take();
    responded_ = true;
    if (headers.empty()) return stream_->Respond(id_, &status, trailers_.Take());
    stream_->Respond(id_, nullptr, std::move(headers));
  }
  end_ = std::make_unique<grpc::Status>(status);
  deadline_ = loop_->CallAt(Loop::Clock::now() + options_->response_patience, this);
  stream_->ResumeData(id_);
}

void Call::AnswerInHttp(int http_status) {
  finished_ = true;
  responded_ = true;
  in_http_ = true;
  stream_->RespondHttp(id_, http_status);
  const Frame text("This is a gRPC server.\n");
  under_way_.fetch_add(text.size());
  out_.push_back(text);
  // As it is, without gRPC's prefix.
  out_offset_ = kPrefixBytes;
  // What the client still says is passed over, but not for ever.
  deadline_ = loop_->CallAt(Loop::Clock::now() + options_->response_patience, this);
}

void Call::Respond() {
  if (stream_ == nullptr || std::exchange(responded_, true)) return;
  stream_->Respond(id_, nullptr, response_headers_.Take());
}

void Call::Do(Errand* errand) {
  switch (errand->kind) {
    case Errand::Kind::kWrite:
    case Errand::Kind::kWriteLast:
      if (errand->kind == Errand::Kind::kWriteLast) owes_room_ = true;
      if (finished_) {
        under_way_.fetch_sub(errand->frame.size());
        return GiveRoom();
      }
      out_.push_back(std::move(errand->frame));
      if (!responded_) {
        Respond();
      } else {
        stream_->ResumeData(id_);
      }
      return;
    case Errand::Kind::kEnd:
      ongoing_.reset();
      // Holds this by its sink.
      events_.reset();
      if (stream_ != nullptr) Finish(*errand->status);
      return;
    case Errand::Kind::kRead:
      paused_ = false;
      partial_since_ = Loop::Clock::now();
      if (stream_ != nullptr && !finished_) {
        ReadMessages();
        CountPartial();
      }
      return;
    case Errand::Kind::kCut:
      if (stream_ != nullptr) stream_->Reset(id_);
      return;
  }
}

size_t Call::TakeData(uint8_t* bytes, size_t size, After* after) {
  size_t taken = 0;
  while (taken < size && !out_.empty()) {
    const grpc::Slice& slice = out_.front().slice();
    if (out_offset_ < kPrefixBytes) {
      uint8_t prefix[kPrefixBytes];
      PutPrefix(slice.size(), prefix);
      const size_t count = std::min(size - taken, kPrefixBytes - out_offset_);
      memcpy(bytes + taken, prefix + out_offset_, count);
      taken += count;
      out_offset_ += count;
      continue;
    }
    const size_t offset = out_offset_ - kPrefixBytes;
    const size_t count = std::min(size - taken, slice.size() - offset);
    memcpy(bytes + taken, slice.begin() + offset, count);
    taken += count;
    out_offset_ += count;
    if (offset + count == slice.size()) {
      under_way_.fetch_sub(slice.size());
      out_.pop_front();
      out_offset_ = 0;
    }
  }
  GiveRoom();
  *after = After::kMore;
  if (out_.empty() && in_http_) *after = After::kEnd;
  if (out_.empty() && end_ != nullptr) {
    *after = After::kTrailers;
    stream_->SendTrailers(id_, *end_, trailers_.Take());
  }
  return taken;
}

void Call::GiveRoom() {
  if (!owes_room_ || (!finished_ && under_way_.load() >= kBudgetBytes)) return;
  owes_room_ = false;
  if (events_ != nullptr) events_->OnRoom();
}

bool Call::Write(const Frame& frame) {
  const size_t under_way = under_way_.fetch_add(frame.size()) + frame.size();
  const bool room = under_way < kBudgetBytes;
  const bool posted = loop_->Post(
      {room ? Errand::Kind::kWrite : Errand::Kind::kWriteLast, shared_from_this(), frame, nullptr});
  return room || !posted;
}

void Call::SendHeaders(Metadata metadata) {
  response_headers_.Put(std::move(metadata));
  // After errands of the same round, which may be the first frame or the end.
  loop_->Run([self = shared_from_this()] { self->Respond(); });
}

void Call::End(const grpc::Status& status) {
  loop_->Post({Errand::Kind::kEnd, shared_from_this(), {}, std::make_unique<grpc::Status>(status)});
}

void Call::Read() { loop_->Post({Errand::Kind::kRead, shared_from_this(), {}, nullptr}); }

void Call::Cut() { loop_->Post({Errand::Kind::kCut, shared_from_this(), {}, nullptr}); }

}  // namespace im::gateway::http2
