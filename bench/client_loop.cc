#include "bench/client_loop.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <stdexcept>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace im::bench {

using gateway::http2::Socket;

namespace {

constexpr size_t kScratchBytes = 64 << 10;
constexpr int kEventsAtOnce = 256;
constexpr std::chrono::seconds kTick(1);
constexpr unsigned char kHttp2[] = {2, 'h', '2'};

}  // namespace

absl::StatusOr<std::unique_ptr<ClientLoop>> ClientLoop::Open(const Target& target) {
  std::unique_ptr<ClientLoop> loop(new ClientLoop);
  IM_RETURN_IF_ERROR(loop->Resolve(target.address));
  if (!target.ca_file.empty()) IM_RETURN_IF_ERROR(loop->TrustOnly(target.ca_file));
  if (loop->tls() && target.resume_tls) loop->KeepTlsSessions();
  loop->thread_ = std::thread([raw = loop.get()] { raw->Thread(); });
  return loop;
}

ClientLoop::ClientLoop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      scratch_(kScratchBytes) {
  if (epoll_ < 0 || wake_ < 0) throw std::runtime_error("no epoll");
  epoll_event event{};
  event.events = EPOLLIN;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
}

ClientLoop::~ClientLoop() {
  if (thread_.joinable()) {
    Post([this] {
      MutexLock lock(&mu_);
      stopping_ = true;
    });
    thread_.join();
  }
  close(wake_);
  close(epoll_);
}

absl::Status ClientLoop::Resolve(const std::string& address) {
  if (absl::StartsWith(address, "unix:")) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    const std::string path = address.substr(5);
    if (path.empty() || path.size() >= sizeof local.sun_path) {
      return absl::InvalidArgumentError(absl::StrCat("not a socket's path: ", path));
    }
    std::memcpy(local.sun_path, path.data(), path.size());
    std::memcpy(&address_, &local, sizeof local);
    address_bytes_ = sizeof local;
    authority_ = "localhost";
    return absl::OkStatus();
  }
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(address, " is not HOST:PORT"));
  }
  std::string host = address.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat(address, ": ", gai_strerror(error)));
  }
  std::memcpy(&address_, found->ai_addr, found->ai_addrlen);
  address_bytes_ = found->ai_addrlen;
  freeaddrinfo(found);
  authority_ = host;
  return absl::OkStatus();
}

absl::Status ClientLoop::TrustOnly(const std::string& ca_file) {
  tls_.reset(SSL_CTX_new(TLS_client_method()));
  if (SSL_CTX_load_verify_file(tls_.get(), ca_file.c_str()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat("no certificates in ", ca_file));
  }
  SSL_CTX_set_verify(tls_.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_alpn_protos(tls_.get(), kHttp2, sizeof kHttp2);
  // A generator with ten thousand connections wants no buffers for those that are idle.
  SSL_CTX_set_mode(tls_.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return absl::OkStatus();
}

void ClientLoop::KeepTlsSessions() {
  SSL_CTX_set_session_cache_mode(tls_.get(),
                                 SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_set_app_data(tls_.get(), this);
  SSL_CTX_sess_set_new_cb(tls_.get(), [](SSL* tls, SSL_SESSION* session) {
    auto* const loop = static_cast<ClientLoop*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls)));
    loop->tls_sessions_.emplace_back(session, SSL_SESSION_free);
    return 1;  // kept
  });
}

void ClientLoop::Post(std::function<void()> work) {
  bool wake = false;
  {
    MutexLock lock(&mu_);
    posted_.push_back(std::move(work));
    wake = !std::exchange(awake_, true);
  }
  const uint64_t one = 1;
  if (wake) [[maybe_unused]]
    const ssize_t written = write(wake_, &one, sizeof one);
}

void ClientLoop::Do(const std::function<void()>& work) {
  // Shared: the promise may still be in use when the wait is over.
  auto done = std::make_shared<std::promise<void>>();
  Post([&work, done] {
    work();
    done->set_value();
  });
  done->get_future().wait();
}

absl::StatusOr<std::unique_ptr<Socket>> ClientLoop::Dial(Connection* connection) {
  const int fd = socket(address_.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ResourceExhaustedError(absl::StrCat("no socket: ", strerror(errno)));
  const int on = 1;
  if (address_.ss_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::unique_ptr<Socket> socket;
  if (tls_ == nullptr) {
    socket = std::make_unique<Socket>(fd);
  } else {
    SSL* const tls = SSL_new(tls_.get());
    SSL_set_connect_state(tls);
    SSL_set1_host(tls, authority_.c_str());
    if (!tls_sessions_.empty()) {
      SSL_set_session(tls, tls_sessions_.back().get());
      tls_sessions_.pop_back();
    }
    socket = gateway::http2::MakeTlsSocket(fd, tls);
  }
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address_), address_bytes_) != 0 &&
      errno != EINPROGRESS) {
    return absl::UnavailableError(strerror(errno));
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.ptr = connection;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  connections_.insert(connection);
  return socket;
}

void ClientLoop::WatchForRoom(int fd, Connection* connection, bool watch) {
  epoll_event event{};
  event.events = watch ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = connection;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void ClientLoop::Forget(Connection* connection) {
  connections_.erase(connection);
  std::replace(dirty_.begin(), dirty_.end(), connection, static_cast<Connection*>(nullptr));
}

void ClientLoop::Thread() {
  // OpenSSL's writes would raise it where the other side has gone.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  epoll_event events[kEventsAtOnce];
  std::vector<std::function<void()>> work;
  Clock::time_point next_tick = Clock::now() + kTick;
  for (;;) {
    bool idle = false;
    {
      MutexLock lock(&mu_);
      if (stopping_) return;
      idle = posted_.empty();
      awake_ = !idle;
    }
    const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(
        next_tick - Clock::now() + std::chrono::milliseconds(1));
    const int count =
        epoll_wait(epoll_, events, kEventsAtOnce,
                   idle ? static_cast<int>(std::max<int64_t>(0, patience.count())) : 0);
    now_ = Clock::now();
    for (int i = 0; i < count; ++i) {
      auto* const connection = static_cast<Connection*>(events[i].data.ptr);
      if (connection == nullptr) {
        uint64_t wakes = 0;
        [[maybe_unused]] const ssize_t taken = read(wake_, &wakes, sizeof wakes);
      } else if (connections_.count(connection) > 0) {
        // One that ended in this round may have had more to be told.
        connection->OnReady(events[i].events);
      }
    }
    {
      MutexLock lock(&mu_);
      awake_ = true;
      work.swap(posted_);
    }
    for (const auto& each : work) each();
    work.clear();
    if (now_ >= next_tick) {
      next_tick = now_ + kTick;
      const std::vector<Connection*> all(connections_.begin(), connections_.end());
      for (Connection* connection : all) {
        if (connections_.count(connection) > 0) connection->OnTick(now_);
      }
    }
    for (size_t i = 0; i < dirty_.size(); ++i) {
      if (dirty_[i] != nullptr) dirty_[i]->Flush();
    }
    dirty_.clear();
  }
}

}  // namespace im::bench
