// What comes in: headers, and the messages of the request.
#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/base/random.h"
#include "common/rpc/call.h"
#include "gateway/http2/call.h"

namespace im::gateway::http2 {
namespace {

// A client's headers: token, trace and the like.
constexpr size_t kMaxHeaderBytes = 16 << 10;

// Of all calls; the gauge shows it.
std::atomic<size_t> partial_bytes{0};
prometheus::Gauge& PartialGauge() {
  static auto& gauge = GaugeFamily("im_gateway_partial_request_bytes",
                                   "Bytes held of messages of clients that are not whole yet.")
                           .Add({});
  return gauge;
}

// why: partial_bytes (of all), address_partial_bytes, address_calls.
absl::Status Overloaded(const char* why) {
  static auto& family =
      CounterFamily("im_gateway_calls_refused_total",
                    "Calls refused since all clients, or those of one address, had too much.");
  family.Add({{"why", why}}).Increment();
  return Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::milliseconds(1'000)});
}

}  // namespace

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
  if (headers_->method != "POST" || !IsGrpc(headers_->content_type)) {
    return AnswerInHttp(headers_->method != "POST" ? 405 : 415);
  }
  if (!use_->exempt && use_->calls.load() > options_->max_calls_of_address) {
    return Refuse(Overloaded("address_calls"));
  }
  const absl::Status good = CheckHeaders();
  if (!good.ok()) return Refuse(good);
  kind_ = front->KindOf(headers_->call.path);
  if (kind_ == Front::Kind::kUnary) return AwaitRequest();
  if (kind_ == Front::Kind::kRelay && !DecodeMetadata(&headers_->call.metadata)) {
    return Refuse(Error(Reason::MALFORMED_REQUEST, "the metadata is none"));
  }
  auto events = front->Open(headers_->call, kind_, shared_from_this());
  headers_.reset();
  if (!events.ok()) return Refuse(events.status());
  events_ = *std::move(events);
}

void Call::AwaitRequest() {
  const auto until = Loop::Clock::now() + options_->request_patience;
  if (deadline_ && (*deadline_)->first <= until) return;
  StopDeadline();
  deadline_ = loop_->CallAt(until, this);
}

void Call::OnData(std::string_view bytes) {
  if (finished_) return stream_->Consume(id_, bytes.size());
  reader_.Append(bytes);
  unconsumed_ += bytes.size();
  ReadMessages();
  CountPartial();
  if (partial_ > 0) {
    const absl::Status room = CheckPartial();
    if (!room.ok()) Refuse(room);
  }
}

absl::Status Call::CheckPartial() const {
  if (!use_->exempt && use_->partial_bytes.load() > options_->max_partial_bytes_of_address) {
    return Overloaded("address_partial_bytes");
  }
  if (partial_bytes.load() > options_->max_partial_bytes) return Overloaded("partial_bytes");
  return absl::OkStatus();
}

void Call::CountPartial() {
  if (finished_) reader_.Clear();
  const size_t partial = reader_.size();
  if (partial == partial_) return;
  if (partial_ == 0) partial_since_ = Loop::Clock::now();
  const size_t all = partial_bytes.fetch_add(partial - partial_) + partial - partial_;
  use_->partial_bytes.fetch_add(partial - partial_);
  partial_ = partial;
  PartialGauge().Set(static_cast<double>(all));
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
    partial_since_ = Loop::Clock::now();
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

}  // namespace im::gateway::http2
