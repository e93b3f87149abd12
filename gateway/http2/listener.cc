#include "gateway/http2/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace im::gateway::http2 {
namespace {

// What the kernel keeps of connections that were not accepted yet.
constexpr int kBacklog = 4096;
// How many are accepted before others have their turn.
constexpr int kAcceptAtOnce = 64;

absl::Status CannotListen(const std::string& address) {
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address, ": ",
                   errno == EADDRINUSE ? "is another process using it?" : std::strerror(errno)));
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  int Release() { return std::exchange(fd, -1); }
};

absl::StatusOr<int> ListenUnix(const std::string& address, const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat(address, ": the path is too long"));
  }
  memcpy(name.sun_path, path.c_str(), path.size() + 1);
  const auto* const at = reinterpret_cast<const sockaddr*>(&name);
  // What a process left behind that is gone is in nobody's way.
  Descriptor probe{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (connect(probe.fd, at, sizeof name) != 0 && errno == ECONNREFUSED) unlink(path.c_str());
  Descriptor listening{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (bind(listening.fd, at, sizeof name) != 0 || listen(listening.fd, kBacklog) != 0) {
    return CannotListen(address);
  }
  return listening.Release();
}

absl::StatusOr<int> ListenTcp(std::string* address) {
  const size_t colon = address->rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(*address, " is not HOST:PORT"));
  }
  std::string host = address->substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]"))
    host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(host.empty() ? nullptr : host.c_str(),
                                 address->substr(colon + 1).c_str(), &hints, &found);
  if (failed != 0) {
    return absl::InvalidArgumentError(absl::StrCat(*address, ": ", gai_strerror(failed)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  Descriptor listening{
      socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP)};
  const int on = 1;
  setsockopt(listening.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const int off = 0;
  // [::] stands for IPv4, too.
  if (found->ai_family == AF_INET6) {
    setsockopt(listening.fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (bind(listening.fd, found->ai_addr, found->ai_addrlen) != 0 ||
      listen(listening.fd, kBacklog) != 0) {
    return CannotListen(*address);
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  getsockname(listening.fd, reinterpret_cast<sockaddr*>(&bound), &size);
  // Both kinds have their port at the same place.
  const int port = ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  *address = absl::StrCat(address->substr(0, colon + 1), port);
  return listening.Release();
}

std::string AddressOf(const sockaddr_storage& peer) {
  char text[INET6_ADDRSTRLEN] = "";
  if (peer.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, text, sizeof text);
  } else if (peer.ss_family == AF_INET6) {
    const in6_addr& ip = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&ip)) {
      inet_ntop(AF_INET, ip.s6_addr + 12, text, sizeof text);
    } else {
      inet_ntop(AF_INET6, &ip, text, sizeof text);
    }
  } else {
    return "unix";
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(const std::string& address) {
  std::string bound = address;
  const bool is_unix = absl::StartsWith(address, "unix:");
  const std::string path = is_unix ? address.substr(5) : "";
  absl::StatusOr<int> fd = is_unix ? ListenUnix(address, path) : ListenTcp(&bound);
  if (!fd.ok()) return fd.status();
  return std::unique_ptr<Listener>(new Listener(*fd, bound, path));
}

Listener::Listener(int fd, std::string address, std::string path)
    : fd_(fd),
      address_(std::move(address)),
      path_(std::move(path)),
      spare_(open("/dev/null", O_RDONLY | O_CLOEXEC)) {}

Listener::~Listener() {
  Stop();
  if (spare_ >= 0) close(spare_);
}

void Listener::Start(Loop* loop, Accepted accepted) {
  loop_ = loop;
  accepted_ = std::move(accepted);
  loop_->Watch(fd_, EPOLLIN, this);
}

void Listener::Stop() {
  if (fd_ < 0) return;
  if (loop_ != nullptr) loop_->Forget(fd_);
  close(std::exchange(fd_, -1));
  if (!path_.empty()) unlink(path_.c_str());
}

void Listener::OnReady(uint32_t) {
  for (int i = 0; i < kAcceptAtOnce && fd_ >= 0; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int fd =
        accept4(fd_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EMFILE && errno != ENFILE) return;
      // Else the client would wait, and this would be called for it again and again.
      if (spare_ >= 0) close(std::exchange(spare_, -1));
      const int refused = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (refused >= 0) close(refused);
      spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
      return;
    }
    if (path_.empty()) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      // What the kernel takes of us and has not sent: little, so that a slow reader costs little.
      const int unsent = 64 << 10;
      setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    }
    accepted_(fd, path_.empty() ? AddressOf(peer) : "unix");
  }
}

}  // namespace im::gateway::http2
