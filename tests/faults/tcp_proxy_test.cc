#include "tests/faults/tcp_proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <thread>

namespace im::faults {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPatience{10'000};

// One end of a TCP connection.
class End {
 public:
  explicit End(int fd) : fd_(fd) {}
  explicit End(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~End() { close(fd_); }
  End(const End&) = delete;

  void Says(const std::string& text) {
    EXPECT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // Up to `size` bytes, less if it ends or nothing more comes within the limit.
  std::string Hears(size_t size, milliseconds limit = kPatience) {
    std::string heard;
    const auto until = steady_clock::now() + limit;
    while (heard.size() < size && WaitReadable(until)) {
      char buffer[4096];
      const ssize_t count = recv(fd_, buffer, std::min(sizeof buffer, size - heard.size()), 0);
      if (count <= 0) {
        was_reset_ = count < 0 && errno == ECONNRESET;
        ended_ = true;
        return heard;
      }
      heard.append(buffer, static_cast<size_t>(count));
    }
    return heard;
  }
  void Leaves() { shutdown(fd_, SHUT_WR); }
  bool ended() const { return ended_; }
  bool was_reset() const { return was_reset_; }

 private:
  bool WaitReadable(steady_clock::time_point until) {
    const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now()).count();
    pollfd wait{fd_, POLLIN, 0};
    return left > 0 && poll(&wait, 1, static_cast<int>(left)) > 0;
  }

  int fd_;
  bool ended_ = false;
  bool was_reset_ = false;
};

class Server {
 public:
  Server() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 100), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Server() { Stop(); }
  const std::string& address() const { return address_; }
  std::unique_ptr<End> Accept() { return std::make_unique<End>(accept(fd_, nullptr, nullptr)); }
  void Stop() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
  std::string address_;
};

class TcpProxyTest : public ::testing::Test {
 protected:
  void Connect() {
    client_.emplace(proxy_.address());
    peer_ = server_.Accept();
  }

  Server server_;
  TcpProxy proxy_{{server_.address()}, 7};
  std::optional<End> client_;
  std::unique_ptr<End> peer_;
};

TEST_F(TcpProxyTest, PassesOnBothWaysAndTheEnd) {
  Connect();
  const std::string much(1 << 20, 'm');
  std::thread talk([&] { client_->Says(much); });
  EXPECT_EQ(peer_->Hears(much.size()), much);
  talk.join();
  peer_->Says("answer");
  EXPECT_EQ(client_->Hears(6), "answer");
  client_->Leaves();
  EXPECT_EQ(peer_->Hears(1), "");
  EXPECT_TRUE(peer_->ended());
  peer_->Says("still");
  EXPECT_EQ(client_->Hears(5), "still");
  EXPECT_EQ(proxy_.counts().bytes, static_cast<int64_t>(much.size() + 11));
}

TEST_F(TcpProxyTest, CutsAllAtOnce) {
  Connect();
  proxy_.CutAll();
  EXPECT_EQ(client_->Hears(1), "");
  EXPECT_TRUE(client_->was_reset());
  EXPECT_EQ(peer_->Hears(1), "");
  EXPECT_TRUE(peer_->ended());
  Connect();
  client_->Says("again");
  EXPECT_EQ(peer_->Hears(5), "again");
}

TEST_F(TcpProxyTest, CutsAfterARandomNumberOfBytes) {
  proxy_.SetWeather({.cut_within_bytes = 1'000});
  std::set<size_t> lengths;
  for (int i = 0; i < 10; ++i) {
    Connect();
    client_->Says(std::string(1'000, 'x'));
    const size_t heard = peer_->Hears(1'000).size();
    // A reset may overtake bytes that the other side has not read yet.
    EXPECT_LE(heard, 1'000u);
    EXPECT_EQ(peer_->Hears(1), "");
    EXPECT_TRUE(peer_->ended());
    lengths.insert(heard);
  }
  EXPECT_GT(lengths.size(), 1u);
  EXPECT_EQ(proxy_.counts().cuts, 10);
  proxy_.SetWeather({});
  Connect();
  client_->Says(std::string(100'000, 'x'));
  EXPECT_EQ(peer_->Hears(100'000).size(), 100'000u);
}

TEST_F(TcpProxyTest, SwallowsSilentlyThenCuts) {
  Connect();
  End untouched(proxy_.address());
  const auto untouched_peer = server_.Accept();
  client_->Says("before");
  EXPECT_EQ(peer_->Hears(6), "before");
  proxy_.SetWeather({.swallow = true});
  while (proxy_.counts().swallowed < 4) {
    client_->Says("lost");
    std::this_thread::yield();
  }
  EXPECT_EQ(peer_->Hears(1, milliseconds(100)), "");
  EXPECT_FALSE(peer_->ended());
  proxy_.SetWeather({});
  EXPECT_EQ(client_->Hears(1), "");
  EXPECT_TRUE(client_->ended());
  untouched.Says("whole");
  EXPECT_EQ(untouched_peer->Hears(5), "whole");
}

TEST_F(TcpProxyTest, SlowToClients) {
  Connect();
  proxy_.SetWeather({.bytes_per_second = 10'000});
  peer_->Says(std::string(5'000, 's'));
  const auto begin = steady_clock::now();
  EXPECT_EQ(client_->Hears(5'000).size(), 5'000u);
  // 500 bytes every 50 ms.
  EXPECT_GT(steady_clock::now() - begin, milliseconds(400));
  client_->Says(std::string(50'000, 'f'));
  EXPECT_EQ(peer_->Hears(50'000, milliseconds(3'000)).size(), 50'000u);
}

TEST_F(TcpProxyTest, AServerFeelsASlowReader) {
  Connect();
  proxy_.SetWeather({.bytes_per_second = 100});
  std::thread talk([&] {
    // More than all the buffers on the way hold.
    const std::string piece(1 << 20, 'b');
    for (int i = 0; i < 64; ++i) peer_->Hears(0), peer_->Says(piece);
  });
  client_->Hears(10);
  EXPECT_LT(proxy_.counts().bytes, 32 << 20);
  proxy_.SetWeather({});
  EXPECT_EQ(client_->Hears((64 << 20) - 10).size(), (64u << 20) - 10);
  talk.join();
}

TEST_F(TcpProxyTest, Delays) {
  Connect();
  proxy_.SetWeather({.delay = milliseconds(300)});
  End probe(proxy_.address());
  const auto probe_peer = server_.Accept();
  const auto begin = steady_clock::now();
  probe.Says("late");
  EXPECT_EQ(probe_peer->Hears(4), "late");
  EXPECT_GE(steady_clock::now() - begin, milliseconds(300));
}

TEST(TcpProxyTargetsTest, TakesTheNextTargetWhenTheFirstIsAway) {
  Server first, second;
  TcpProxy proxy({first.address(), second.address()}, 1);
  {
    End client(proxy.address());
    client.Says("one");
    EXPECT_EQ(first.Accept()->Hears(3), "one");
  }
  first.Stop();
  End client(proxy.address());
  client.Says("two");
  EXPECT_EQ(second.Accept()->Hears(3), "two");
  second.Stop();
  End refused(proxy.address());
  EXPECT_EQ(refused.Hears(1), "");
  EXPECT_TRUE(refused.ended());
}

}  // namespace
}  // namespace im::faults
