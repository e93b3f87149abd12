#include "gateway/http2/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/metrics.h"

namespace im::gateway::http2 {
namespace {

// What all calls of a connection may send before we took it: no call waits for another's reader.
constexpr int32_t kConnectionWindow = 4 << 20;
// What is made ready at once for the socket.
constexpr size_t kSendBytes = 64 << 10;
// Answers to a client's pings and settings that may wait while it does not read.
constexpr size_t kMaxWaitingAnswers = 100;
// Other frames of ours that may wait meanwhile, and so many more for each call that there may be:
// nghttp2 refuses each request too many with a frame, and bounds their number by nothing.
constexpr size_t kMaxWaitingFrames = 1000;
constexpr size_t kMaxWaitingFramesPerCall = 4;
constexpr uint32_t kMaxHeaderListBytes = 16 << 10;
// A client that sees our end may take so long, and say so much more, until it ends its own.
constexpr std::chrono::seconds kFarewell{2};
constexpr size_t kFarewellBytes = 64 << 10;

prometheus::Gauge& ConnectionsGauge() {
  static auto& gauge =
      GaugeFamily("im_gateway_connections", "Connections of clients that are open.").Add({});
  return gauge;
}
prometheus::Counter& MisbehavedCounter() {
  static auto& counter =
      CounterFamily("im_gateway_connections_misbehaved_total",
                    "Connections that ended because the client broke the rules of HTTP/2.")
          .Add({});
  return counter;
}

// why: handshake (nothing was said), idle (no call), silent (no sign of life), not_reading (for too
// long), flood (not reading, and making us say more and more).
prometheus::Counter& CutCounter(const char* why) {
  static auto& family = CounterFamily("im_gateway_connections_cut_total",
                                      "Connections ended since they were of no use any more.");
  return family.Add({{"why", why}});
}

// nghttp2 itself counts only what the client resets. CANCEL is ours; what is refused costs nothing.
bool BlamesClient(uint32_t error_code) {
  return error_code != NGHTTP2_NO_ERROR && error_code != NGHTTP2_CANCEL &&
         error_code != NGHTTP2_REFUSED_STREAM;
}

std::string_view View(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

// What nghttp2 tells us; `user_data` is the connection. 0: go on.
struct Connection::Callbacks {
  static Connection* Of(void* user_data) { return static_cast<Connection*>(user_data); }
  static Call* CallOf(nghttp2_session* session, int32_t id) {
    return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Connection* const self = Of(user_data);
    auto call = std::make_shared<Call>(self->loop_, self, frame->hd.stream_id, self->address_,
                                       self->use_, &self->options_->call);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call.get());
    self->calls_[frame->hd.stream_id] = std::move(call);
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    if (Call* const call = CallOf(session, frame->hd.stream_id)) {
      call->OnHeader(View(name, name_size), View(value, value_size));
    }
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    Call* const call = CallOf(session, frame->hd.stream_id);
    if (call == nullptr) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) call->OnHeadersEnd(Of(user_data)->front_);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) call->OnHalfClosed();
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes,
                    size_t size, void*) {
    // One slow reader behind a connection does not hold up the others on it.
    nghttp2_session_consume_connection(session, size);
    if (Call* const call = CallOf(session, id)) call->OnData(View(bytes, size));
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t, void* user_data) {
    Connection* const self = Of(user_data);
    const auto found = self->calls_.find(id);
    if (found == self->calls_.end()) return 0;
    const std::shared_ptr<Call> call = std::move(found->second);
    self->calls_.erase(found);
    if (self->calls_.empty()) self->idle_since_ = Loop::Clock::now();
    call->OnGone();
    return 0;
  }

  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
      Of(user_data)->Misbehaved();
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM && BlamesClient(frame->rst_stream.error_code)) {
      Of(user_data)->CountReset();
    }
    if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    const Call* const call = CallOf(session, frame->hd.stream_id);
    // The answer is complete; what the client still wanted to say is not wanted.
    if (call != nullptr && !call->half_closed()) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static const nghttp2_session_callbacks* All() {
    static nghttp2_session_callbacks* const all = [] {
      nghttp2_session_callbacks* made = nullptr;
      nghttp2_session_callbacks_new(&made);
      nghttp2_session_callbacks_set_on_begin_headers_callback(made, OnBeginHeaders);
      nghttp2_session_callbacks_set_on_header_callback(made, OnHeader);
      nghttp2_session_callbacks_set_on_frame_recv_callback(made, OnFrame);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, OnData);
      nghttp2_session_callbacks_set_on_stream_close_callback(made, OnStreamClose);
      nghttp2_session_callbacks_set_on_frame_send_callback(made, OnFrameSent);
      return made;
    }();
    return all;
  }

  static const nghttp2_option* Options() {
    static nghttp2_option* const options = [] {
      nghttp2_option* made = nullptr;
      nghttp2_option_new(&made);
      nghttp2_option_set_no_auto_window_update(made, 1);
      nghttp2_option_set_no_closed_streams(made, 1);
      nghttp2_option_set_max_outbound_ack(made, kMaxWaitingAnswers);
      nghttp2_option_set_stream_reset_rate_limit(made, kResetBurst, kResetsPerSecond);
      return made;
    }();
    return options;
  }
};

Connection::Connection(Loop* loop, Front* front, const ConnectionOptions* options,
                       std::unique_ptr<Socket> socket, std::string address,
                       std::shared_ptr<AddressUse> use)
    : loop_(loop),
      front_(front),
      options_(options),
      socket_(std::move(socket)),
      address_(std::move(address)),
      use_(std::move(use)),
      watched_(EPOLLIN),
      heard_at_(Loop::Clock::now()),
      idle_since_(heard_at_),
      resets_at_(heard_at_) {
  use_->connections.fetch_add(1);
  ConnectionsGauge().Increment();
  loop_->Watch(socket_->fd(), watched_, this);
}

Connection::~Connection() {
  Close();
  nghttp2_session_del(session_);
  use_->connections.fetch_sub(1);
  ConnectionsGauge().Decrement();
}

void Connection::OnReady(uint32_t events) {
  if (closed_) return;
  if (finished_at_.has_value()) {
    if (!pending_.empty()) WriteLast();
    if (closed_) return;
    const Socket::Io read =
        socket_->Discard(loop_->scratch().data(), loop_->scratch().size(), &discarded_);
    if (read == Socket::Io::kClosed || discarded_ > kFarewellBytes) Close();
    return;
  }
  if (session_ == nullptr) {
    const Socket::Io done = socket_->Handshake();
    if (done == Socket::Io::kClosed) return Close();
    if (done == Socket::Io::kWait) return WatchFor();
    if (!Begin()) return Close();
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !Read()) return Close();
  WriteSoon();
}

bool Connection::Begin() {
  if (nghttp2_session_server_new3(&session_, Callbacks::All(), this, Callbacks::Options(),
                                  memory_.functions()) != 0) {
    return false;
  }
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options_->max_calls},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeaderListBytes},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  return nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0 &&
         nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) ==
             0;
}

bool Connection::Read() {
  std::vector<uint8_t>& scratch = loop_->scratch();
  for (;;) {
    size_t count = 0;
    const Socket::Io read = socket_->Read(scratch.data(), scratch.size(), &count);
    if (read == Socket::Io::kWait) return true;
    if (read == Socket::Io::kClosed) return false;
    heard_at_ = Loop::Clock::now();
    pinged_ = false;
    if (nghttp2_session_mem_recv(session_, scratch.data(), count) < 0) {
      Misbehaved();
      // Says why, if there is room for it before the end.
      nghttp2_session_terminate_session(session_, NGHTTP2_PROTOCOL_ERROR);
      Flush();
      Finish();
      return true;
    }
    // What epoll still sees is read when the others had their turn.
    if (!socket_->holds_bytes()) return true;
  }
}

void Connection::Misbehaved() {
  if (!std::exchange(misbehaved_, true)) MisbehavedCounter().Increment();
}

void Connection::CountReset() {
  const auto now = Loop::Clock::now();
  const std::chrono::duration<double> since = now - std::exchange(resets_at_, now);
  resets_left_ = std::min<double>(kResetBurst, resets_left_ + since.count() * kResetsPerSecond) - 1;
  if (resets_left_ >= 0) return;
  Misbehaved();
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
}

void Connection::WriteSoon() {
  if (!std::exchange(dirty_, true)) loop_->WriteSoon(this);
}

void Connection::Write() {
  dirty_ = false;
  if (closed_ || finished_at_.has_value() || session_ == nullptr) return;
  Flush();
  if (closed_) return;
  if (IsFlooded()) {
    CutCounter("flood").Increment();
    return Close();
  }
  // Who does not read cannot put off the end by that.
  if (misbehaved_) return Finish();
  const bool over = pending_.empty() && nghttp2_session_want_read(session_) == 0 &&
                    nghttp2_session_want_write(session_) == 0;
  if (over || (going_away_ && calls_.empty() && pending_.empty())) return Finish();
  WatchFor();
}

void Connection::Flush() {
  do {
    while (pending_.size() < kSendBytes) {
      const uint8_t* bytes = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
      if (size < 0) return Close();
      if (size == 0) break;
      pending_.append(View(bytes, static_cast<size_t>(size)));
    }
  } while (!pending_.empty() && WritePending());
}

bool Connection::WritePending() {
  while (pending_first_ < pending_.size()) {
    size_t count = 0;
    const Socket::Io written =
        socket_->Write(pending_.data() + pending_first_, pending_.size() - pending_first_, &count);
    if (written == Socket::Io::kClosed) {
      Close();
      return false;
    }
    if (written == Socket::Io::kWait) {
      if (!untaken_since_.has_value()) untaken_since_ = Loop::Clock::now();
      return false;
    }
    pending_first_ += count;
    untaken_since_.reset();
  }
  // An idle connection holds no buffer.
  pending_ = std::string();
  pending_first_ = 0;
  return true;
}

bool Connection::IsFlooded() const {
  return !pending_.empty() &&
         nghttp2_session_get_outbound_queue_size(session_) >
             kMaxWaitingFrames + kMaxWaitingFramesPerCall * options_->max_calls;
}

void Connection::WatchFor() {
  const bool write = pending_first_ < pending_.size() || socket_->wants_write();
  const uint32_t wanted = EPOLLIN | (write ? uint32_t{EPOLLOUT} : 0u);
  if (wanted == watched_) return;
  watched_ = wanted;
  loop_->Change(socket_->fd(), watched_, this);
}

void Connection::OnTick(Loop::Clock::time_point now) {
  if (closed_) return;
  if (finished_at_.has_value()) {
    if (now - *finished_at_ >= kFarewell) Close();
    return;
  }
  if (calls_.empty() && now - idle_since_ >= options_->idle) {
    if (session_ != nullptr && going_away_) return Close();
    CutCounter(session_ == nullptr ? "handshake" : "idle").Increment();
    if (session_ == nullptr) return Close();
    going_away_ = true;
    nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
    return WriteSoon();
  }
  if (session_ == nullptr) return;
  const auto silent = now - heard_at_;
  if (silent >= options_->keepalive + options_->keepalive_patience) {
    CutCounter("silent").Increment();
    return Close();
  }
  if (untaken_since_.has_value() &&
      now - *untaken_since_ >= options_->keepalive + options_->keepalive_patience) {
    CutCounter("not_reading").Increment();
    return Close();
  }
  for (const auto& [id, call] : calls_) call->OnTick(now);
  if (silent >= options_->keepalive && !std::exchange(pinged_, true)) {
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    WriteSoon();
  }
}

void Connection::GoAway() {
  if (closed_ || finished_at_.has_value()) return;
  if (session_ == nullptr) return Close();
  going_away_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  WriteSoon();
}

void Connection::Finish() {
  if (closed_ || finished_at_.has_value()) return;
  finished_at_ = Loop::Clock::now();
  EndCalls();
  WriteLast();
}

void Connection::WriteLast() {
  if (WritePending()) socket_->Finish();
  if (!closed_) WatchFor();
}

void Connection::Close() {
  if (std::exchange(closed_, true)) return;
  loop_->Forget(socket_->fd());
  EndCalls();
  loop_->Destroy(this);
}

void Connection::EndCalls() {
  const auto calls = std::exchange(calls_, {});
  for (const auto& [id, call] : calls) call->OnGone();
}

}  // namespace im::gateway::http2
