#include "tests/gateway/peer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "gateway/http2/grpc_wire.h"

namespace im::gateway {

int ConnectTo(const std::string& address, const char* from) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (from != nullptr) {
    sockaddr_in own{};
    own.sin_family = AF_INET;
    EXPECT_EQ(inet_pton(AF_INET, from, &own.sin_addr), 1);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&own), sizeof own), 0);
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval patience{20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

std::string Framed(std::string_view message, char flag) {
  uint8_t prefix[http2::kPrefixBytes];
  http2::PutPrefix(message.size(), prefix);
  prefix[0] = static_cast<uint8_t>(flag);
  std::string framed(reinterpret_cast<char*>(prefix), http2::kPrefixBytes);
  return framed.append(message);
}

struct Peer::Callbacks {
  static int OnHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* self) {
    static_cast<Peer*>(self)->headers[std::string(name, name + name_size)] =
        std::string(value, value + value_size);
    return 0;
  }
  static int OnClose(nghttp2_session*, int32_t, uint32_t, void* self) {
    ++static_cast<Peer*>(self)->closed;
    return 0;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    auto* const self = static_cast<Peer*>(user_data);
    if (frame->hd.type == NGHTTP2_GOAWAY) self->goaway = frame->goaway.error_code;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) ++self->pings;
    return 0;
  }
  static int OnData(nghttp2_session*, uint8_t, int32_t, const uint8_t* bytes, size_t size,
                    void* self) {
    static_cast<Peer*>(self)->body.append(bytes, bytes + size);
    return 0;
  }
  static ssize_t TakeBody(nghttp2_session*, int32_t stream, uint8_t* bytes, size_t size,
                          uint32_t* flags, nghttp2_data_source*, void* user_data) {
    auto& bodies = static_cast<Peer*>(user_data)->bodies_;
    const auto body = bodies.find(stream);
    if (body == bodies.end()) return NGHTTP2_ERR_DEFERRED;
    auto& [all, sent, ends] = body->second;
    const size_t count = std::min(size, all.size() - sent);
    memcpy(bytes, all.data() + sent, count);
    sent += count;
    if (sent == all.size() && !ends && count == 0) return NGHTTP2_ERR_DEFERRED;
    if (sent == all.size() && ends) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }
};

Peer::Peer(const std::string& address, const std::vector<nghttp2_settings_entry>& settings,
           bool tls, const char* from)
    : fd_(ConnectTo(address, from)) {
  if (tls) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_alpn_protos(context_.get(), reinterpret_cast<const unsigned char*>("\2h2"), 3);
    tls_.reset(SSL_new(context_.get()));
    SSL_set_fd(tls_.get(), fd_);
    EXPECT_EQ(SSL_connect(tls_.get()), 1);
  }
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnClose);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
}

Peer::~Peer() {
  nghttp2_session_del(session_);
  close(fd_);
}

int32_t Peer::Request(const PeerRequest& request) {
  const std::string scheme = "http";
  const std::string authority = "localhost";
  const auto header = [](std::string_view name, const std::string& value) {
    return nghttp2_nv{reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                      value.size(), NGHTTP2_NV_FLAG_NONE};
  };
  std::vector<nghttp2_nv> headers = {header(":method", request.method), header(":scheme", scheme),
                                     header(":path", request.path), header(":authority", authority),
                                     header("content-type", request.content_type)};
  for (const auto& [name, value] : request.headers) headers.push_back(header(name, value));
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::TakeBody;
  const int32_t stream =
      nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &provider, nullptr);
  if (request.body) bodies_[stream] = {*request.body};
  if (request.open_body) bodies_[stream] = {*request.open_body, 0, false};
  return stream;
}

void Peer::Reset(int32_t stream) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

void Peer::Ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

bool Peer::Flush() {
  const uint8_t* bytes = nullptr;
  for (ssize_t size = 0; (size = nghttp2_session_mem_send(session_, &bytes)) > 0;) {
    if (!SendBytes({reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)})) return false;
  }
  return true;
}

bool Peer::SendBytes(std::string_view bytes) {
  if (tls_ != nullptr) {
    return SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
  }
  return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

ssize_t Peer::Receive(void* bytes, size_t size) {
  return tls_ == nullptr ? recv(fd_, bytes, size, 0)
                         : SSL_read(tls_.get(), bytes, static_cast<int>(size));
}

bool Peer::ReadUntil(const std::function<bool()>& condition) {
  uint8_t bytes[4096];
  while (!condition()) {
    Flush();
    const ssize_t size = Receive(bytes, sizeof bytes);
    if (size < 0 && errno == EAGAIN) ADD_FAILURE() << "the server says nothing";
    if (size <= 0) return false;
    nghttp2_session_mem_recv(session_, bytes, static_cast<size_t>(size));
  }
  return true;
}

void Peer::ReadUntilSilent(std::chrono::milliseconds silence) {
  uint8_t bytes[4096];
  pollfd readable{fd_, POLLIN, 0};
  while (Flush() && poll(&readable, 1, static_cast<int>(silence.count())) == 1) {
    const ssize_t size = recv(fd_, bytes, sizeof bytes, 0);
    if (size <= 0) return;
    nghttp2_session_mem_recv(session_, bytes, static_cast<size_t>(size));
  }
}

size_t Peer::unsent() const {
  size_t unsent = 0;
  for (const auto& [stream, body] : bodies_) unsent += body.bytes.size() - body.sent;
  return unsent;
}

void Peer::ReadToTheEnd() {
  ReadUntil([] { return false; });
}

}  // namespace im::gateway
