#include "bench/lean_client.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace im::bench {

using gateway::http2::kPrefixBytes;
using gateway::http2::MessageReader;
using gateway::http2::PutPrefix;
using gateway::http2::Socket;
using gateway::v1::ConnectRequest;

namespace {

// What may be on its way to us: room is given back for all of it at once, half by half.
constexpr int32_t kWindowBytes = 1 << 20;
constexpr size_t kMaxMessageBytes = 16 << 20;
constexpr std::string_view kPath = "/im.gateway.v1.GatewayService/Connect";

nghttp2_nv Header(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

struct LeanClient::Callbacks {
  static LeanClient& Of(void* user_data) { return *static_cast<LeanClient*>(user_data); }

  static int OnData(nghttp2_session*, uint8_t, int32_t, const uint8_t* bytes, size_t size,
                    void* user_data) {
    LeanClient& client = Of(user_data);
    client.in_.Append({reinterpret_cast<const char*>(bytes), size});
    client.TakeMessages();
    return 0;
  }
  static int OnHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user_data) {
    const std::string_view header(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    int code = 0;
    if (header == "grpc-status" && absl::SimpleAtoi(std::string(text), &code)) {
      Of(user_data).status_ = static_cast<absl::StatusCode>(code);
    } else if (header == "grpc-message") {
      Of(user_data).status_message_ = text;
    }
    return 0;
  }
  static int OnStreamClose(nghttp2_session*, int32_t, uint32_t, void* user_data) {
    // Not from inside of nghttp2.
    Of(user_data).stream_ = -1;
    return 0;
  }
  static ssize_t Read(nghttp2_session*, int32_t, uint8_t* bytes, size_t size, uint32_t*,
                      nghttp2_data_source* source, void*) {
    LeanClient& client = Of(source->ptr);
    const size_t count = std::min(size, client.out_.size() - client.out_taken_);
    if (count == 0) {
      client.out_deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    client.out_.copy(reinterpret_cast<char*>(bytes), count, client.out_taken_);
    client.out_taken_ += count;
    if (client.out_taken_ == client.out_.size()) {
      client.out_.clear();
      client.out_taken_ = 0;
    }
    return static_cast<ssize_t>(count);
  }

  static const nghttp2_session_callbacks* All() {
    static const nghttp2_session_callbacks* const all = [] {
      nghttp2_session_callbacks* made = nullptr;
      nghttp2_session_callbacks_new(&made);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, OnData);
      nghttp2_session_callbacks_set_on_header_callback(made, OnHeader);
      nghttp2_session_callbacks_set_on_stream_close_callback(made, OnStreamClose);
      return made;
    }();
    return all;
  }
};

gateway::v1::Hello LeanClient::Nothing() {
  gateway::v1::Hello hello;
  hello.mutable_have()->set_only_listed(true);
  return hello;
}

LeanClient::LeanClient(ClientLoop* loop, const std::string& token, Listener* listener,
                       gateway::v1::Hello hello)
    : loop_(loop), listener_(listener), in_(kMaxMessageBytes) {
  ConnectRequest first;
  *first.mutable_hello() = std::move(hello);
  loop_->Post([this, token, first = std::move(first)] {
    Append(first);
    Begin(token);
  });
}

LeanClient::~LeanClient() {
  const auto end = [this] {
    if (!closed_) loop_->Forget(this);
    closed_ = true;
    nghttp2_session_del(session_);
    socket_ = nullptr;
  };
  loop_->IsHere() ? end() : loop_->Do(end);
}

void LeanClient::Send(const ConnectRequest& frame) {
  if (loop_->IsHere()) return Append(frame);
  loop_->Post([this, frame] { Append(frame); });
}

void LeanClient::Cut() {
  loop_->Post([this] { Close(absl::UnavailableError("cut")); });
}

void LeanClient::Begin(const std::string& token) {
  auto socket = loop_->Dial(this);
  if (!socket.ok()) return Close(socket.status());
  socket_ = *std::move(socket);
  nghttp2_session_client_new(&session_, Callbacks::All(), this);
  const std::array settings = {
      nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindowBytes);
  const std::string authorization = absl::StrCat("Bearer ", token);
  const std::array headers = {
      Header(":method", "POST"),        Header(":scheme", loop_->tls() ? "https" : "http"),
      Header(":path", kPath),           Header(":authority", loop_->authority()),
      Header("te", "trailers"),         Header("content-type", "application/grpc"),
      Header("user-agent", "im-bench"), Header("authorization", authorization)};
  nghttp2_data_provider body{{.ptr = this}, Callbacks::Read};
  stream_ =
      nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &body, nullptr);
}

void LeanClient::Append(const ConnectRequest& frame) {
  if (closed_) return;
  const size_t size = frame.ByteSizeLong();
  const size_t begin = out_.size();
  out_.resize(begin + kPrefixBytes + size);
  PutPrefix(size, reinterpret_cast<uint8_t*>(out_.data() + begin));
  frame.SerializeWithCachedSizesToArray(
      reinterpret_cast<uint8_t*>(out_.data() + begin + kPrefixBytes));
  last_sent_ = loop_->now();
  if (!connected_ || std::exchange(dirty_, true)) return;
  loop_->FlushSoon(this);
}

bool LeanClient::Shake() {
  switch (socket_->Handshake()) {
    case Socket::Io::kDone:
      connected_ = true;
      return true;
    case Socket::Io::kClosed:
      Close(absl::UnavailableError("no connection"));
      return false;
    case Socket::Io::kWait:
      // Level-triggered: room that is there must not be told of while the peer is waited for.
      watches_room_ = socket_->wants_write();
      loop_->WatchForRoom(socket_->fd(), this, watches_room_);
      return false;
  }
  return false;
}

void LeanClient::OnReady(uint32_t events) {
  if (!connected_ && !Shake()) return;
  if ((events & ~uint32_t{EPOLLOUT}) != 0 || socket_->holds_bytes()) Receive();
  if (!closed_) Flush();
}

void LeanClient::Receive() {
  std::vector<uint8_t>& scratch = loop_->scratch();
  for (;;) {
    size_t count = 0;
    const Socket::Io io = socket_->Read(scratch.data(), scratch.size(), &count);
    if (io == Socket::Io::kWait) return;
    if (io == Socket::Io::kClosed) {
      return Close(absl::Status(status_, status_message_));
    }
    if (nghttp2_session_mem_recv(session_, scratch.data(), count) < 0) {
      return Close(absl::InternalError("not HTTP/2"));
    }
    if (closed_) return;
    if (stream_ < 0) return Close(absl::Status(status_, status_message_));
    if (count < scratch.size() && !socket_->holds_bytes()) return;
  }
}

void LeanClient::TakeMessages() {
  std::string message;
  for (;;) {
    switch (in_.Read(&message)) {
      case MessageReader::Next::kMessage:
        Take(message);
        break;
      case MessageReader::Next::kIncomplete:
        return;
      default:
        status_ = absl::StatusCode::kInternal;
        status_message_ = "a message that cannot be read";
        stream_ = -1;
        return;
    }
  }
}

void LeanClient::Take(std::string_view message) {
  if (listener_->OnBytes(message)) return;
  if (!response_.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    status_ = absl::StatusCode::kInternal;
    status_message_ = "a frame that cannot be read";
    stream_ = -1;
    return;
  }
  const auto& frame = response_.frame();
  if (frame.has_welcome()) {
    heartbeat_ = std::chrono::seconds(frame.welcome().heartbeat_interval().seconds());
  }
  listener_->OnFrame(frame);
}

void LeanClient::Flush() {
  dirty_ = false;
  if (out_deferred_ && !out_.empty()) {
    out_deferred_ = false;
    nghttp2_session_resume_data(session_, stream_);
  }
  for (;;) {
    while (unsent_.size() < loop_->scratch().size()) {
      const uint8_t* bytes = nullptr;
      const ssize_t count = nghttp2_session_mem_send(session_, &bytes);
      if (count < 0) return Close(absl::InternalError("nghttp2 cannot go on"));
      if (count == 0) break;
      unsent_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
    }
    if (unsent_.empty()) break;
    size_t count = 0;
    const Socket::Io io = socket_->Write(unsent_.data(), unsent_.size(), &count);
    if (io == Socket::Io::kClosed) return Close(absl::Status(status_, status_message_));
    if (io == Socket::Io::kWait) break;
    unsent_.erase(0, count);
  }
  const bool waits = !unsent_.empty();
  if (std::exchange(watches_room_, waits) != waits) {
    loop_->WatchForRoom(socket_->fd(), this, waits);
  }
}

void LeanClient::OnTick(ClientLoop::Clock::time_point now) {
  if (heartbeat_.count() == 0 || now - last_sent_ < heartbeat_) return;
  ConnectRequest frame;
  frame.mutable_heartbeat();
  Append(frame);
}

void LeanClient::Close(const absl::Status& status) {
  if (std::exchange(closed_, true)) return;
  loop_->Forget(this);
  socket_ = nullptr;
  listener_->OnClosed(status);
}

}  // namespace im::bench
