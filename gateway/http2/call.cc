#include "gateway/http2/call.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/base/random.h"
#include "common/rpc/bytes.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"

namespace im::gateway::http2 {
namespace {

// What may wait here for one stream, so that several events leave in one send; the session's own
// queue, where events can be dropped or replaced, holds the rest.
constexpr size_t kBudgetBytes = 32 << 10;
// A client's headers: token, trace and the like.
constexpr size_t kMaxHeaderBytes = 16 << 10;

prometheus::Counter& NotTakenCounter() {
  static auto& counter =
      CounterFamily("im_gateway_responses_not_taken_total",
                    "Calls cut since their client did not read the end of the response.")
          .Add({});
  return counter;
}

}  // namespace

Call::Call(Loop* loop, Stream* stream, int32_t id, std::string address, const CallOptions* options)
    : loop_(loop),
      id_(id),
      options_(options),
      stream_(stream),
      headers_(std::make_unique<Headers>()),
      reader_(options->max_message_bytes) {
  headers_->call.address = std::move(address);
  headers_->call.deadline = std::chrono::system_clock::time_point::max();
}

void Call::OnHeader(std::string_view name, std::string_view value) {
  if (headers_end_) return;  // trailers of the client's
  // As HPACK counts them.
  headers_->bytes += name.size() + value.size() + 32;
  if (headers_->bytes > kMaxHeaderBytes) return;
  if (name == ":path") {
    headers_->call.path = value;
  } else if (name == ":method") {
    headers_->method = value;
  } else if (name == "content-type") {
    headers_->content_type = value;
  } else if (name == "grpc-encoding") {
    headers_->encoding = value;
  } else if (name == "grpc-timeout") {
    headers_->timeout = value;
  } else if (name == rpc::kAuthorizationKey) {
    headers_->call.authorization = value;
  } else if (name == rpc::kRequestIdKey) {
    headers_->call.request_id = value;
  } else if (IsMetadata(name)) {
    headers_->call.metadata.emplace_back(name, value);
  }
}

absl::Status Call::CheckHeaders() {
  CallInfo& call = headers_->call;
  if (headers_->bytes > kMaxHeaderBytes) {
    return Error(Reason::REQUEST_TOO_LARGE, "the headers are larger than 16 KB");
  }
  // gRPC, by which calls are passed on, ends the process over metadata that is none.
  const bool ascii = std::all_of(call.authorization.begin(), call.authorization.end(),
                                 [](char c) { return c >= ' ' && c <= '~'; });
  if (!ascii) return Error(Reason::TOKEN_INVALID);
  const bool printable = std::all_of(call.request_id.begin(), call.request_id.end(),
                                     [](unsigned char c) { return std::isgraph(c) != 0; });
  if (call.request_id.empty() || call.request_id.size() > 64 || !printable) {
    call.request_id = RandomHex(8);
  }
  encoding_ = std::move(headers_->encoding);
  if (headers_->timeout.empty()) return absl::OkStatus();
  const auto timeout = ParseTimeout(headers_->timeout);
  if (!timeout) return Error(Reason::MALFORMED_REQUEST, "grpc-timeout is none");
  call.deadline = std::chrono::system_clock::now() +
                  std::chrono::duration_cast<std::chrono::system_clock::duration>(*timeout);
  deadline_ = loop_->CallAt(Loop::Clock::now() + *timeout, this);
  return absl::OkStatus();
}

void Call::OnHeadersEnd(Front* front) {
  if (std::exchange(headers_end_, true)) return;
  front_ = front;
  if (headers_->method != "POST" || !absl::StartsWith(headers_->content_type, "application/grpc")) {
    finished_ = true;
    return stream_->RespondHttp(id_, headers_->method != "POST" ? 405 : 415);
  }
  const absl::Status good = CheckHeaders();
  if (!good.ok()) return Refuse(good);
  kind_ = front->KindOf(headers_->call.path);
  if (kind_ == Front::Kind::kUnary) return;
  if (kind_ == Front::Kind::kRelay && !DecodeMetadata(&headers_->call.metadata)) {
    return Refuse(Error(Reason::MALFORMED_REQUEST, "the metadata is none"));
  }
  auto events = front->Open(headers_->call, kind_, shared_from_this());
  headers_.reset();
  if (!events.ok()) return Refuse(events.status());
  events_ = *std::move(events);
}

void Call::OnData(std::string_view bytes) {
  if (finished_) return stream_->Consume(id_, bytes.size());
  reader_.Append(bytes);
  unconsumed_ += bytes.size();
  ReadMessages();
}

void Call::OnHalfClosed() {
  half_closed_ = true;
  if (!finished_) ReadMessages();
}

void Call::ReadMessages() {
  std::string message;
  absl::Status good;
  while (good.ok() && !paused_ && !finished_) {
    const MessageReader::Next next = reader_.Read(&message);
    if (next == MessageReader::Next::kIncomplete) {
      // Its rest must be able to come. What is held back while paused slows the client down.
      stream_->Consume(id_, std::exchange(unconsumed_, 0));
      if (half_closed_) good = OnRequestEnd();
      break;
    }
    if (next == MessageReader::Next::kTooLarge) {
      good = Error(Reason::REQUEST_TOO_LARGE);
    } else if (next == MessageReader::Next::kMalformed) {
      good = Error(Reason::MALFORMED_REQUEST);
    } else {
      if (next == MessageReader::Next::kCompressed) good = Decompress(&message);
      if (good.ok()) good = OnMessage(std::move(message));
    }
  }
  if (!good.ok()) Refuse(good);
}

absl::Status Call::Decompress(std::string* message) const {
  if (encoding_ != "gzip" && encoding_ != "deflate") {
    return Error(Reason::COMPRESSION_UNSUPPORTED,
                 absl::StrCat("the server knows these compressions only: ", kAcceptedEncodings));
  }
  auto inflated = Inflate(*message, options_->max_message_bytes);
  if (!inflated) return Error(Reason::MALFORMED_REQUEST, "the message cannot be decompressed");
  *message = *std::move(inflated);
  return absl::OkStatus();
}

absl::Status Call::OnMessage(std::string message) {
  if (kind_ != Front::Kind::kUnary) {
    paused_ = !events_->OnFrame(std::move(message));
  } else if (headers_ == nullptr) {
    return Error(Reason::MALFORMED_REQUEST, "a unary call has one request");
  } else {
    StartUnary(message);
  }
  return absl::OkStatus();
}

absl::Status Call::OnRequestEnd() {
  if (std::exchange(half_close_told_, true)) return absl::OkStatus();
  if (!reader_.empty()) return Error(Reason::MALFORMED_REQUEST);
  if (kind_ != Front::Kind::kUnary) {
    events_->OnHalfClosed();
  } else if (headers_ != nullptr) {
    return Error(Reason::MALFORMED_REQUEST, "the call carries no request");
  }
  return absl::OkStatus();
}

void Call::StartUnary(const std::string& request) {
  const std::unique_ptr<Headers> headers = std::move(headers_);
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
  end_.reset();
  out_.clear();
  if (const auto ongoing = std::exchange(ongoing_, nullptr)) ongoing->Cancel();
  if (events_ != nullptr) events_->OnClosed();
  GiveRoom();
}

void Call::OnDeadline() {
  StopDeadline();
  if (!finished_) return Refuse(Error(Reason::DEADLINE_EXCEEDED));
  NotTakenCounter().Increment();
  stream_->Reset(id_);
}

void Call::Refuse(const absl::Status& status) {
  Finish(rpc::ToGrpc(status));
  // Who answers has nobody to answer any more.
  if (const auto ongoing = std::exchange(ongoing_, nullptr)) ongoing->Cancel();
  if (events_ != nullptr) events_->OnClosed();
}

void Call::Finish(const grpc::Status& status) {
  if (finished_) return;
  finished_ = true;
  StopDeadline();
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
      if (stream_ != nullptr && !finished_) ReadMessages();
      return;
    case Errand::Kind::kCut:
      if (stream_ != nullptr) stream_->Reset(id_);
      return;
  }
}

size_t Call::TakeData(uint8_t* bytes, size_t size, bool* last) {
  size_t taken = 0;
  while (taken < size && out_first_ < out_.size()) {
    const grpc::Slice& slice = out_[out_first_].slice();
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
      out_[out_first_++] = Frame();
      out_offset_ = 0;
    }
  }
  if (out_first_ == out_.size()) {
    // An idle stream holds no memory for this.
    out_ = {};
    out_first_ = 0;
  }
  GiveRoom();
  *last = out_.empty() && end_ != nullptr;
  if (*last) stream_->SendTrailers(id_, *end_, trailers_.Take());
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
