// What one address of clients may have of the door, and that others have theirs.
#include "tests/gateway/hostile_fixture.h"

namespace im::gateway {
namespace {

class OneAddressTest : public HostileTest {
 protected:
  static constexpr char kOther[] = "127.0.0.2";
  OneAddressTest() { config_.limits.exempt = "none"; }
  std::unique_ptr<Peer> Other() {
    return std::make_unique<Peer>(config_.listen, std::vector<nghttp2_settings_entry>(), false,
                                  kOther);
  }
  // Whether a call of it is answered with that status.
  static std::string StatusOf(Peer* peer, const PeerRequest& request) {
    peer->headers.clear();
    peer->Request(request);
    peer->ReadUntil([&] { return peer->headers.count("grpc-status") > 0; });
    return peer->headers["grpc-status"];
  }
  const PeerRequest log_in_ = {.path = "/im.auth.v1.AccountService/LogIn", .body = Framed("")};
};

TEST_F(OneAddressTest, HoldsSoManyConnections) {
  config_.connections_per_address = 2;
  StartOnTcp();
  const double before = CounterNow(kRefused, {{"why", "address"}});
  auto one = std::make_unique<Peer>(config_.listen);
  Peer two(config_.listen);
  EXPECT_EQ(StatusOf(one.get(), log_in_), "0");
  EXPECT_EQ(StatusOf(&two, log_in_), "0");
  Peer three(config_.listen);
  EXPECT_EQ(StatusOf(&three, log_in_), "");
  EXPECT_EQ(CounterNow(kRefused, {{"why", "address"}}), before + 1);
  EXPECT_EQ(StatusOf(Other().get(), log_in_), "0");
  one.reset();
  Await([&] { return GaugeNow("im_gateway_connections") == 1; });
  Peer four(config_.listen);
  EXPECT_EQ(StatusOf(&four, log_in_), "0");
}

TEST_F(OneAddressTest, HoldsSoManyCalls) {
  config_.connection.call.max_calls_of_address = 3;
  StartOnTcp();
  const double before = CounterNow(kCallsRefused, {{"why", "address_calls"}});
  Peer one(config_.listen);
  Peer two(config_.listen);
  const PeerRequest watch = {.path = "/grpc.health.v1.Health/Watch", .body = Framed("")};
  for (Peer* const peer : {&one, &one, &two}) {
    peer->body.clear();
    peer->Request(watch);
    EXPECT_TRUE(peer->ReadUntil([&] { return !peer->body.empty(); }));
  }
  EXPECT_EQ(StatusOf(&two, log_in_), "8");
  EXPECT_EQ(CounterNow(kCallsRefused, {{"why", "address_calls"}}), before + 1);
  EXPECT_EQ(StatusOf(Other().get(), log_in_), "0");
  one.Reset(1);
  one.Flush();
  Await([&] { return StatusOf(&two, log_in_) == "0"; });
}

TEST_F(OneAddressTest, HoldsSoMuchOfPartsOfMessages) {
  config_.connection.call.max_partial_bytes_of_address = 100'000;
  StartOnTcp();
  const double before = CounterNow(kCallsRefused, {{"why", "address_partial_bytes"}});
  const PeerRequest part = {.path = "/im.auth.v1.AccountService/LogIn",
                            .open_body = Framed(std::string(200'000, 'x')).substr(0, 60'000)};
  Peer one(config_.listen);
  one.Request(part);
  ASSERT_TRUE(one.Flush());
  Await([&] { return GaugeNow("im_gateway_partial_request_bytes") == 60'000; });
  Peer two(config_.listen);
  EXPECT_EQ(StatusOf(&two, part), "8");
  EXPECT_EQ(CounterNow(kCallsRefused, {{"why", "address_partial_bytes"}}), before + 1);
  const auto other = Other();
  other->Request(part);
  ASSERT_TRUE(other->Flush());
  Await([&] { return GaugeNow("im_gateway_partial_request_bytes") == 120'000; });
}

TEST_F(OneAddressTest, IsNotLimitedIfItIsExempt) {
  config_.limits.exempt = "127.0.0.1";
  config_.connections_per_address = 1;
  config_.connection.call.max_calls_of_address = 1;
  StartOnTcp();
  Peer one(config_.listen);
  one.Request({.path = "/grpc.health.v1.Health/Watch", .body = Framed("")});
  EXPECT_TRUE(one.ReadUntil([&] { return !one.body.empty(); }));
  Peer two(config_.listen);
  EXPECT_EQ(StatusOf(&two, log_in_), "0");
}

}  // namespace
}  // namespace im::gateway
