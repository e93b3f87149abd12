// Clients that mean harm, or do not keep to the rules: each meets a limit, is counted, and costs
// the others nothing. gateway/README.md has the table.
#include <malloc.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "im/auth/v1/accounts.pb.h"
#include "tests/gateway/any_service.h"
#include "tests/gateway/hostile_fixture.h"

namespace im::gateway {
namespace {

using namespace std::chrono_literals;

TEST_F(HostileTest, RapidReset) {
  StartOnTcp();
  const double before = CounterNow(kMisbehaved);
  Peer hostile(config_.listen);
  bool open = true;
  for (int i = 0; i < 5000 && open; ++i) {
    const int32_t stream = hostile.Request({});
    // Said at once: else the request would never be sent.
    open = hostile.Flush();
    hostile.Reset(stream);
    open = open && hostile.Flush();
  }
  hostile.ReadToTheEnd();
  EXPECT_FALSE(open);
  EXPECT_EQ(CounterNow(kMisbehaved), before + 1);
  ExpectOthersServed();
}

// The same, but the server is brought to reset them: by a window that grows too far.
TEST_F(HostileTest, MadeToReset) {
  StartOnTcp();
  const double before = CounterNow(kMisbehaved);
  Peer hostile(config_.listen);
  bool open = true;
  for (int i = 0; i < 5000 && open; ++i) {
    const int32_t stream = hostile.Request({});
    open = hostile.Flush();
    std::string window("\0\0\4\x8\0", 5);
    for (const int shift : {24, 16, 8, 0}) window.push_back(static_cast<char>(stream >> shift));
    open = open && hostile.SendBytes(window + "\x7f\xff\xff\xff") &&
           hostile.ReadUntil([&] { return hostile.closed > i; }) && !hostile.goaway;
  }
  hostile.ReadToTheEnd();
  EXPECT_FALSE(open);
  EXPECT_EQ(hostile.goaway, NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(CounterNow(kMisbehaved), before + 1);
  ExpectOthersServed();
}

TEST_F(HostileTest, PingsWithoutReading) {
  StartOnTcp();
  const double before = CounterNow(kMisbehaved);
  Peer hostile(config_.listen);
  bool open = true;
  for (int i = 0; i < 2'000'000 && open; ++i) {
    hostile.Ping();
    open = hostile.Flush();
  }
  EXPECT_FALSE(open);
  EXPECT_EQ(CounterNow(kMisbehaved), before + 1);
  ExpectOthersServed();
}

TEST_F(HostileTest, SettingsWithoutReading) {
  StartOnTcp();
  const double before = CounterNow(kMisbehaved);
  Peer hostile(config_.listen);
  hostile.Flush();
  // Empty SETTINGS, a thousand at once; each is owed an answer.
  std::string settings;
  for (int i = 0; i < 1000; ++i) settings.append("\0\0\0\4\0\0\0\0\0", 9);
  bool open = true;
  for (int i = 0; i < 20'000 && open; ++i) open = hostile.SendBytes(settings);
  EXPECT_FALSE(open);
  EXPECT_EQ(CounterNow(kMisbehaved), before + 1);
  ExpectOthersServed();
}

TEST_F(HostileTest, ContinuationsWithoutEnd) {
  StartOnTcp();
  const double before = CounterNow(kMisbehaved);
  Peer hostile(config_.listen);
  hostile.Flush();
  // HEADERS that do not end, then CONTINUATIONs that do not: of a header that is not indexed.
  hostile.SendBytes(std::string_view("\0\0\1\1\0\0\0\0\1\x88", 10));
  std::string more;
  for (int i = 0; i < 1000; ++i) more.append("\0\0\5\x9\0\0\0\0\1\0\1a\1b", 14);
  bool open = true;
  for (int i = 0; i < 20'000 && open; ++i) open = hostile.SendBytes(more);
  EXPECT_FALSE(open);
  EXPECT_EQ(CounterNow(kMisbehaved), before + 1);
  ExpectOthersServed();
}

// A thousand bytes once, and then one byte for each time that they are meant.
TEST_F(HostileTest, HeadersThatGrow) {
  StartOnTcp();
  Peer hostile(config_.listen);
  PeerRequest request;
  for (int i = 0; i < 40; ++i) request.headers.emplace_back("x-bomb", std::string(1000, 'x'));
  request.body = "";
  hostile.Request(request);
  EXPECT_TRUE(hostile.ReadUntilClosed());
  EXPECT_EQ(hostile.headers["grpc-status"], "8");
  ExpectOthersServed();
}

TEST_F(HostileTest, HeadersHaveALimit) {
  StartOnTcp();
  Peer large(config_.listen);
  large.Request({.headers = {{"x-long", std::string(17 << 10, 'x')}}, .body = ""});
  EXPECT_TRUE(large.ReadUntilClosed());
  EXPECT_EQ(large.headers["grpc-status"], "8");
  Peer good(config_.listen);
  good.Request({.headers = {{"x-long", std::string(15 << 10, 'x')}}, .body = Framed("")});
  EXPECT_TRUE(good.ReadUntilClosed());
  EXPECT_EQ(good.headers["grpc-status"], "16") << "it has no token";
}

TEST_F(HostileTest, HeadersHaveALimitInTlsToo) {
  UseTls();
  StartOnTcp();
  Peer large(tls_, {}, true);
  large.Request({.headers = {{"x-long", std::string(17 << 10, 'x')}}, .body = ""});
  EXPECT_TRUE(large.ReadUntilClosed());
  EXPECT_EQ(large.headers["grpc-status"], "8");
}

// The answer is there, and there is never a window for it.
TEST_F(HostileTest, NoWindowForEver) {
  config_.connection.call.response_patience = 100ms;
  StartOnTcp();
  const double before = CounterNow("im_gateway_responses_not_taken_total");
  Peer hostile(config_.listen, {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}});
  hostile.Request({.path = "/im.auth.v1.AccountService/LogIn", .body = Framed("")});
  EXPECT_TRUE(hostile.ReadUntilClosed());
  EXPECT_EQ(CounterNow("im_gateway_responses_not_taken_total"), before + 1);
  // Who does not even speak gRPC.
  hostile.Request({.method = "GET", .body = ""});
  EXPECT_TRUE(hostile.ReadUntil([&] { return hostile.closed == 2; }));
  ExpectOthersServed();
}

// A stream may stay; what waits for it is bounded, by its queue.
TEST_F(HostileTest, ARequestThatNeverEnds) {
  config_.connection.call.request_patience = 200ms;
  StartOnTcp();
  const double before = CounterNow("im_gateway_requests_not_sent_total");
  Peer hostile(config_.listen);
  const std::string whole = Framed(std::string(100, 'x'));
  hostile.Request({.body = whole.substr(0, 50)});
  EXPECT_TRUE(hostile.ReadUntilClosed());
  // A message that was cut off is none.
  EXPECT_EQ(hostile.headers["grpc-status"], "3");
  Peer silent(config_.listen);
  silent.Request({});
  EXPECT_TRUE(silent.ReadUntilClosed());
  EXPECT_EQ(silent.headers["grpc-status"], "4");
  EXPECT_EQ(CounterNow("im_gateway_requests_not_sent_total"), before + 1);
  ExpectOthersServed();
}

TEST_F(HostileTest, AFrameOfAStreamThatNeverEnds) {
  config_.connection.call.request_patience = 200ms;
  StartOnTcp();
  const double before = CounterNow("im_gateway_requests_not_sent_total");
  Peer hostile(config_.listen);
  hostile.Request({.path = "/im.gateway.v1.GatewayService/Connect",
                   .headers = {{"authorization", "Bearer 1:10"}},
                   .open_body = Framed(std::string(100, 'x')).substr(0, 50)});
  EXPECT_TRUE(hostile.ReadUntilClosed());
  EXPECT_EQ(hostile.headers["grpc-status"], "4");
  EXPECT_EQ(CounterNow("im_gateway_requests_not_sent_total"), before + 1);
  ExpectOthersServed();
}

TEST_F(HostileTest, PartsOfMessagesHaveALimitInAll) {
  config_.connection.call.max_partial_bytes = 100'000;
  StartOnTcp();
  const std::string part = Framed(std::string(200'000, 'x')).substr(0, 60'000);
  Peer one(config_.listen);
  Peer two(config_.listen);
  // Neither says its end.
  one.Request({.path = "/im.auth.v1.AccountService/LogIn", .open_body = part});
  ASSERT_TRUE(one.Flush());
  Await([&] { return GaugeNow("im_gateway_partial_request_bytes") == 60'000; });
  two.Request({.path = "/im.auth.v1.AccountService/LogIn", .open_body = part});
  EXPECT_TRUE(two.ReadUntilClosed());
  EXPECT_EQ(two.headers["grpc-status"], "8");
  EXPECT_EQ(GaugeNow("im_gateway_partial_request_bytes"), 60'000);
  // What is whole is none of it.
  ExpectOthersServed();
  Peer whole(config_.listen);
  whole.Request({.path = "/im.auth.v1.AccountService/LogIn", .body = Framed("")});
  EXPECT_TRUE(whole.ReadUntilClosed());
  EXPECT_EQ(whole.headers["grpc-status"], "0");
  one.Reset(1);
  one.Flush();
  Await([&] { return GaugeNow("im_gateway_partial_request_bytes") == 0; });
}

TEST_F(HostileTest, HalfOfATlsHandshake) {
  UseTls();
  config_.connection_idle_seconds = 1;
  StartOnTcp();
  const double before = CounterNow(kCut, {{"why", "handshake"}});
  const int fd = ConnectTo(tls_);
  // The beginning of a ClientHello.
  ASSERT_EQ(send(fd, "\x16\x03\x01\x02\x00\x01\x00", 7, 0), 7);
  ExpectOthersServed();
  AwaitHangUp(fd);
  close(fd);
  EXPECT_EQ(CounterNow(kCut, {{"why", "handshake"}}), before + 1);
}

// The preface, byte by byte: not fast enough to be of any use.
TEST_F(HostileTest, AByteNowAndThen) {
  config_.connection_idle_seconds = 1;
  StartOnTcp();
  const double before = CounterNow(kCut, {{"why", "idle"}});
  const int fd = ConnectTo(config_.listen);
  const std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  pollfd gone{fd, POLLRDHUP, 0};
  size_t said = 0;
  while (said < preface.size() && poll(&gone, 1, 200) == 0) {
    ASSERT_EQ(send(fd, preface.data() + said++, 1, MSG_NOSIGNAL), 1);
  }
  EXPECT_LT(said, preface.size());
  AwaitHangUp(fd);
  close(fd);
  EXPECT_EQ(CounterNow(kCut, {{"why", "idle"}}), before + 1);
}

// Inside of a frame of headers: neither idle nor silent, and no call yet that could be answered.
TEST_F(HostileTest, HeadersAByteNowAndThen) {
  config_.connection.call.request_patience = 200ms;
  config_.connection_idle_seconds = 1;
  StartOnTcp();
  const double before = CounterNow("im_gateway_requests_not_sent_total");
  const double cut_before = CounterNow(kCut, {{"why", "idle"}});
  Peer hostile(config_.listen);
  hostile.Flush();
  // HEADERS of 12,000 bytes, in them "a" with a value of 10,000.
  hostile.SendBytes(std::string_view("\0\x2e\xe0\1\0\0\0\0\1\0\1a\x7f\x91\x4d", 15));
  ExpectOthersServed();
  pollfd gone{hostile.fd(), POLLRDHUP, 0};
  int said = 0;
  while (said < 200 && poll(&gone, 1, 100) == 0 && hostile.SendBytes("x")) ++said;
  EXPECT_LT(said, 200);
  EXPECT_EQ(CounterNow("im_gateway_requests_not_sent_total"), before + 1);
  EXPECT_EQ(CounterNow(kCut, {{"why", "idle"}}), cut_before + 1);
  ExpectOthersServed();
}

TEST_F(HostileTest, TenThousandThatSayNothing) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  // Both ends are in this process.
  const size_t count = std::min<size_t>(10'000, (files.rlim_cur - 200) / 2);
  // Longer than it takes to open them all.
  config_.connection_idle_seconds = 15;
  StartOnTcp();
  const double before = CounterNow(kCut, {{"why", "handshake"}});
  const double open_before = GaugeNow("im_gateway_connections");
  std::vector<int> silent;
  for (size_t i = 0; i < count; ++i) silent.push_back(ConnectTo(config_.listen));
  Await([&] { return GaugeNow("im_gateway_connections") >= open_before + double(count); });
  ExpectOthersServed();
  for (const int fd : silent) {
    AwaitHangUp(fd);
    close(fd);
  }
  EXPECT_EQ(CounterNow(kCut, {{"why", "handshake"}}), before + double(count));
}

TEST_F(HostileTest, HoldsSoManyConnectionsOnly) {
  config_.max_connections = 4;
  config_.loops = 2;
  StartOnTcp();
  const double before = CounterNow(kRefused, {{"why", "all"}});
  std::vector<std::unique_ptr<Peer>> peers;
  const auto one_more = [&] {
    peers.push_back(std::make_unique<Peer>(config_.listen));
    peers.back()->Request({.method = "GET", .body = ""});
    EXPECT_TRUE(peers.back()->ReadUntilClosed()) << peers.size();
  };
  const auto expect_full = [&] {
    EXPECT_EQ(GaugeNow("im_gateway_connections"), 4);
    Peer more(config_.listen);
    EXPECT_FALSE(more.ReadUntil([&] { return !more.headers.empty(); }));
  };
  for (int i = 0; i < 4; ++i) one_more();
  expect_full();
  EXPECT_EQ(CounterNow(kRefused, {{"why", "all"}}), before + 1);
  // Those of one of the two loops: there is room again, whichever has its turn.
  peers.erase(peers.begin() + 3);
  peers.erase(peers.begin() + 1);
  Await([&] { return GaugeNow("im_gateway_connections") == 2; });
  for (int i = 0; i < 2; ++i) one_more();
  expect_full();
  EXPECT_EQ(CounterNow(kRefused, {{"why", "all"}}), before + 2);
}

// GET / of "a" by HPACK's static table, of streams from `first` on.
std::string TinyRequests(uint32_t first, int count) {
  std::string requests;
  for (uint32_t stream = first; count > 0; --count, stream += 2) {
    requests.append("\0\0\6\1\5\0", 6);
    for (const int shift : {16, 8, 0}) requests.push_back(static_cast<char>(stream >> shift));
    requests.append("\x82\x84\x86\1\1a");
  }
  return requests;
}

// As little as the kernel lets it.
void TakeLittle(const Peer& peer) {
  const int small = 4096;
  setsockopt(peer.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
}

// It never says that it has seen how many calls it may have, so that each one more is refused by a
// frame, which it does not read.
TEST_F(HostileTest, RefusalsWithoutReading) {
  StartOnTcp();
  const double before = CounterNow(kCut, {{"why", "flood"}});
  const auto heap = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  Peer hostile(config_.listen);
  TakeLittle(hostile);
  hostile.Flush();
  ExpectOthersServed();
  const size_t heap_before = heap();
  size_t heap_most = heap_before;
  bool open = true;
  for (uint32_t i = 0; i < 300 && open; ++i) {
    open = hostile.SendBytes(TinyRequests(1 + 2000 * i, 1000));
    if (i % 10 == 0) ExpectOthersServed();
    heap_most = std::max(heap_most, heap());
  }
  EXPECT_FALSE(open);
  EXPECT_LT(heap_most - heap_before, size_t{8} << 20);
  Await([&] { return CounterNow(kCut, {{"why", "flood"}}) == before + 1; });
  ExpectOthersServed();
}

// It says something all the time, and takes nothing of its answers, in TCP neither.
TEST_F(HostileTest, APeerThatTakesNothing) {
  config_.connection.keepalive = 500ms;
  config_.connection.keepalive_patience = 500ms;
  AnyService service(SocketOf("any"));
  options_.upstreams.extra = "any.v1=" + service.address();
  StartOnTcp();
  const double before = CounterNow(kCut, {{"why", "not_reading"}});
  Peer hostile(config_.listen, {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 16 << 20}});
  TakeLittle(hostile);
  hostile.Request({.path = "/any.v1.Service/Flood", .open_body = ""});
  ASSERT_TRUE(hostile.Flush());
  // 1 MB more of the connection's window, and then byte by byte.
  hostile.SendBytes(std::string_view("\0\0\4\x8\0\0\0\0\0\0\x10\0\0", 13));
  const std::string window("\0\0\4\x8\0\0\0\0\0\0\0\0\1", 13);
  Await([&] {
    hostile.SendBytes(window);
    return CounterNow(kCut, {{"why", "not_reading"}}) > before;
  });
  EXPECT_EQ(CounterNow(kCut, {{"why", "not_reading"}}), before + 1);
  ExpectOthersServed();
}

TEST_F(HostileTest, ASilentPeerIsAskedForASignOfLife) {
  config_.connection.keepalive = 500ms;
  config_.connection.keepalive_patience = 2500ms;
  StartOnTcp();
  const double before = CounterNow(kCut, {{"why", "silent"}});
  // One answers and stays, one does not even read.
  Peer alive(config_.listen);
  alive.Request({});
  Peer gone(config_.listen);
  gone.Request({});
  ASSERT_TRUE(gone.Flush());
  EXPECT_TRUE(alive.ReadUntil([&] { return alive.pings >= 5; }));
  EXPECT_EQ(alive.closed, 0);
  AwaitHangUp(gone.fd());
  EXPECT_EQ(CounterNow(kCut, {{"why", "silent"}}), before + 1);
}

}  // namespace
}  // namespace im::gateway
