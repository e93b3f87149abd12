#include "tests/faults/tcp_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>

#include "common/base/mutex.h"

namespace im::faults {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kPiece = 16 << 10;
// What may wait in one direction; then its sender is read no more, as with a full socket.
constexpr size_t kWaiting = 64 << 10;

sockaddr_in ParseAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (colon == std::string::npos ||
      inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    throw std::invalid_argument("not a numeric HOST:PORT: " + text);
  }
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(text.substr(colon + 1))));
  return address;
}

int NewSocket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw std::runtime_error("no socket");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// The other side sees a reset, as from a crashed host.
void Reset(int fd) {
  if (fd < 0) return;
  const linger now{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

// One direction of a connection.
struct Pipe {
  struct Piece {
    std::string bytes;
    steady_clock::time_point due;
  };
  std::deque<Piece> waiting;
  size_t waiting_bytes = 0;
  // The sender has ended; what waits is still passed on.
  bool ended = false;
  bool end_passed = false;
  // When the next bytes may be written, if slow.
  steady_clock::time_point next_write;
};

struct Connection {
  int client = -1;
  int server = -1;
  // Place among the targets, while connecting.
  size_t target = 0;
  bool connected = false;
  bool swallowed = false;
  // Passed on so far, and where it is cut.
  size_t passed = 0;
  size_t cut_at = 0;  // 0: nowhere
  Pipe up;            // client to server
  Pipe down;
  bool dead = false;
};

}  // namespace

class TcpProxy::Loop {
 public:
  Loop(std::vector<std::string> targets, uint64_t seed) : random_(seed) {
    for (const std::string& target : targets) targets_.push_back(ParseAddress(target));
    if (targets_.empty()) throw std::invalid_argument("a proxy needs a target");
    listener_ = NewSocket();
    sockaddr_in address = ParseAddress("127.0.0.1:0");
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, SOMAXCONN) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      close(listener_);
      throw std::runtime_error("the proxy cannot listen");
    }
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    thread_ = std::thread([this] { Run(); });
  }

  ~Loop() {
    {
      MutexLock lock(&mu_);
      closing_ = true;
    }
    Wake();
    thread_.join();
    for (const auto& connection : connections_) Cut(connection.get());
    close(listener_);
    close(wake_);
  }

  const std::string& address() const { return address_; }

  void SetWeather(const Weather& weather) {
    MutexLock lock(&mu_);
    weather_ = weather;
    weather_changed_ = true;
    Wake();
    while (weather_changed_) taken_.Wait(&mu_);
  }
  void CutAll() {
    MutexLock lock(&mu_);
    cut_all_ = true;
    Wake();
    while (cut_all_) taken_.Wait(&mu_);
  }
  Counts counts() const {
    MutexLock lock(&mu_);
    return counts_;
  }

 private:
  void Wake() {
    const uint64_t one = 1;
    // Full means that it is awake already.
    if (write(wake_, &one, sizeof one) < 0) return;
  }

  void Run() {
    while (TakeOrders()) {
      Poll();
      const auto now = steady_clock::now();
      for (const auto& connection : connections_) {
        if (!connection->dead && connection->connected) {
          Write(connection.get(), &connection->up, connection->server, false, now);
        }
        if (!connection->dead && connection->connected) {
          Write(connection.get(), &connection->down, connection->client, true, now);
        }
        if (connection->up.end_passed && connection->down.end_passed) connection->dead = true;
      }
      connections_.erase(std::remove_if(connections_.begin(), connections_.end(),
                                        [](const auto& connection) {
                                          if (!connection->dead) return false;
                                          // Ended in both directions, or cut and closed already.
                                          if (connection->client >= 0) close(connection->client);
                                          if (connection->server >= 0) close(connection->server);
                                          return true;
                                        }),
                         connections_.end());
    }
  }

  // False: it is over.
  bool TakeOrders() {
    bool cut = false;
    bool changed = false;
    {
      MutexLock lock(&mu_);
      if (closing_) return false;
      cut = cut_all_;
      changed = weather_changed_;
      now_ = weather_;
    }
    if (!cut && !changed) return true;
    for (const auto& connection : connections_) {
      if (cut || (changed && !now_.swallow && connection->swallowed)) Cut(connection.get());
      if (changed) Aim(connection.get());
    }
    MutexLock lock(&mu_);
    cut_all_ = cut_all_ && !cut;
    weather_changed_ = weather_changed_ && !changed;
    taken_.NotifyAll();
    return true;
  }

  // Where the connection is to be cut.
  void Aim(Connection* connection) {
    connection->cut_at = 0;
    if (now_.cut_within_bytes == 0) return;
    std::uniform_int_distribution<size_t> bytes(1, now_.cut_within_bytes);
    connection->cut_at = connection->passed + bytes(random_);
  }

  void Poll() {
    std::vector<pollfd> fds = {{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
    const auto now = steady_clock::now();
    auto wake_at = now + milliseconds(1'000);
    const auto add = [&](Connection* connection, bool is_client) {
      const int fd = is_client ? connection->client : connection->server;
      Pipe& in = is_client ? connection->up : connection->down;
      Pipe& out = is_client ? connection->down : connection->up;
      short events = 0;
      if (!connection->connected) {
        if (!is_client) events = POLLOUT;
      } else {
        if (!in.ended && (in.waiting_bytes < kWaiting || now_.swallow)) events |= POLLIN;
        if (!out.waiting.empty() && !now_.swallow) {
          const auto due = std::max(out.waiting.front().due, out.next_write);
          if (due <= now) {
            events |= POLLOUT;
          } else {
            wake_at = std::min(wake_at, due);
          }
        }
      }
      // Without events only resets are told.
      fds.push_back({fd, events, 0});
    };
    const size_t count = connections_.size();
    for (const auto& connection : connections_) {
      add(connection.get(), true);
      add(connection.get(), false);
    }
    const auto left = std::chrono::ceil<milliseconds>(wake_at - now).count();
    if (poll(fds.data(), fds.size(), static_cast<int>(std::max<int64_t>(left, 0))) <= 0) return;
    if (fds[0].revents != 0) {
      uint64_t number = 0;
      if (read(wake_, &number, sizeof number) < 0) return;
    }
    for (size_t i = 0; i < count; ++i) {
      Connection* connection = connections_[i].get();
      if (!connection->connected) {
        if (fds[3 + 2 * i].revents != 0) OnConnected(connection);
        continue;
      }
      if (fds[2 + 2 * i].revents != 0) Read(connection, &connection->up, connection->client);
      if (!connection->dead && fds[3 + 2 * i].revents != 0) {
        Read(connection, &connection->down, connection->server);
      }
    }
    if (fds[1].revents != 0) Accept();
  }

  void Accept() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto connection = std::make_unique<Connection>();
      connection->client = fd;
      Aim(connection.get());
      Connect(connection.get());
      connections_.push_back(std::move(connection));
      MutexLock lock(&mu_);
      ++counts_.connections;
    }
  }

  void Connect(Connection* connection) {
    if (connection->server >= 0) close(connection->server);
    connection->server = NewSocket();
    const sockaddr_in& to = targets_[connection->target];
    // What this says is said again when the socket is writable.
    if (connect(connection->server, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
        errno != EINPROGRESS) {
      return;
    }
  }

  void OnConnected(Connection* connection) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->server, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) {
      connection->connected = true;
      return;
    }
    if (++connection->target < targets_.size()) return Connect(connection);
    Cut(connection);
  }

  void Read(Connection* connection, Pipe* pipe, int fd) {
    char buffer[kPiece];
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count < 0 && now_.swallow) {
      // The other side does not hear of that either.
      connection->swallowed = true;
      close(std::exchange(fd == connection->client ? connection->client : connection->server, -1));
      pipe->ended = true;
      return;
    }
    if (count < 0) return Cut(connection);
    if (count == 0) {
      pipe->ended = true;
      return;
    }
    const auto bytes = static_cast<size_t>(count);
    if (now_.swallow) {
      connection->swallowed = true;
      MutexLock lock(&mu_);
      counts_.swallowed += count;
      return;
    }
    pipe->waiting.push_back({std::string(buffer, bytes), steady_clock::now() + now_.delay});
    pipe->waiting_bytes += bytes;
  }

  void Write(Connection* connection, Pipe* pipe, int fd, bool to_client,
             steady_clock::time_point now) {
    while (!now_.swallow && !pipe->waiting.empty()) {
      Pipe::Piece& piece = pipe->waiting.front();
      if (piece.due > now || pipe->next_write > now) return;
      size_t size = piece.bytes.size();
      const bool slow = to_client && now_.bytes_per_second > 0;
      // Twenty pieces a second.
      if (slow) size = std::min(size, std::max<size_t>(1, now_.bytes_per_second / 20));
      if (connection->cut_at > 0) size = std::min(size, connection->cut_at - connection->passed);
      ssize_t count = 0;
      {
        // Counted before anybody can see that they arrived.
        MutexLock lock(&mu_);
        count = send(fd, piece.bytes.data(), size, MSG_NOSIGNAL);
        if (count > 0) counts_.bytes += count;
      }
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (count < 0) return Cut(connection);
      connection->passed += static_cast<size_t>(count);
      if (connection->passed == connection->cut_at) return Cut(connection);
      pipe->waiting_bytes -= static_cast<size_t>(count);
      piece.bytes.erase(0, static_cast<size_t>(count));
      if (piece.bytes.empty()) pipe->waiting.pop_front();
      if (slow) pipe->next_write = now + milliseconds(50);
    }
    // Half-open is also that an end is not told.
    if (!now_.swallow && pipe->ended && pipe->waiting.empty() && !pipe->end_passed) {
      pipe->end_passed = true;
      shutdown(fd, SHUT_WR);
    }
  }

  void Cut(Connection* connection) {
    if (connection->dead) return;
    connection->dead = true;
    {
      MutexLock lock(&mu_);
      ++counts_.cuts;
    }
    Reset(std::exchange(connection->client, -1));
    Reset(std::exchange(connection->server, -1));
  }

  // Constant after construction.
  std::vector<sockaddr_in> targets_;
  std::string address_;
  int listener_ = -1;
  int wake_ = -1;

  // The thread's own.
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Connection>> connections_;
  Weather now_;

  mutable Mutex mu_;
  CondVar taken_;
  Weather weather_ IM_GUARDED_BY(mu_);
  bool weather_changed_ IM_GUARDED_BY(mu_) = false;
  bool cut_all_ IM_GUARDED_BY(mu_) = false;
  bool closing_ IM_GUARDED_BY(mu_) = false;
  Counts counts_ IM_GUARDED_BY(mu_);

  std::thread thread_;
};

TcpProxy::TcpProxy(std::vector<std::string> targets, uint64_t seed)
    : loop_(std::make_unique<Loop>(std::move(targets), seed)) {}
TcpProxy::~TcpProxy() = default;

const std::string& TcpProxy::address() const { return loop_->address(); }
void TcpProxy::SetWeather(const Weather& weather) { loop_->SetWeather(weather); }
void TcpProxy::CutAll() { loop_->CutAll(); }
TcpProxy::Counts TcpProxy::counts() const { return loop_->counts(); }

}  // namespace im::faults
