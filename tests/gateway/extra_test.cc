// Services beside IM's own, behind the same door: calls of all kinds, with everything of them.
#include "gateway/extra.h"

#include <utility>

#include "common/rpc/status.h"
#include "gateway/http2/grpc_wire.h"
#include "tests/gateway/any_service.h"
#include "tests/gateway/fixture.h"
#include "tests/gateway/peer.h"

namespace im::gateway {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using namespace std::chrono_literals;

TEST(ExtraPackagesTest, Parses) {
  const auto parsed = ParseExtraPackages(" grpc.testing=127.0.0.1:1, a.v1=unix:/x=y ,a.v1=b:2");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(*parsed, ElementsAre(Pair("a.v1", ElementsAre("unix:/x=y", "b:2")),
                                   Pair("grpc.testing", ElementsAre("127.0.0.1:1"))));
  EXPECT_TRUE(ParseExtraPackages("")->empty());
  EXPECT_TRUE(ParseExtraPackages("imposing.v1=a:1").ok());
  for (const char* bad : {"a", "=b", "a=", "im.chat.v1=a:1", "im=a:1", "im.internal.v1=a:1",
                          "grpc.health.v1=a:1", "grpc.reflection.v1alpha=a:1"}) {
    EXPECT_FALSE(ParseExtraPackages(bad).ok()) << bad;
  }
}

TEST(ExtraMetadataTest, IsDecodedAndEncoded) {
  Metadata metadata = {{"x-a", "text ~"}, {"x-b-bin", "AAH/"}, {"x-c-bin", "YQ==,Yg"}};
  ASSERT_TRUE(http2::DecodeMetadata(&metadata));
  EXPECT_THAT(metadata,
              ElementsAre(Pair("x-a", "text ~"), Pair("x-b-bin", std::string("\0\1\xff", 3)),
                          Pair("x-c-bin", "a"), Pair("x-c-bin", "b")));
  EXPECT_THAT(http2::EncodeMetadata(metadata), Contains(Pair("x-b-bin", "AAH/")));
  for (const Metadata& bad : std::vector<Metadata>{
           {{"x-a", "\xff"}}, {{"x-a", "\t"}}, {{"x!a", "b"}}, {{"x-bin", "%%%"}}}) {
    Metadata copy = bad;
    EXPECT_FALSE(http2::DecodeMetadata(&copy)) << bad[0].first;
  }
  for (const char* own : {":path", "grpc-timeout", "x-im-address", "te", "user-agent"}) {
    EXPECT_FALSE(http2::IsMetadata(own)) << own;
  }
  EXPECT_TRUE(http2::IsMetadata("x-trace"));
}

class ExtraTest : public GatewayTest {
 protected:
  ExtraTest() : service_(std::make_unique<AnyService>(SocketOf("any"))) {
    options_.upstreams.extra = "any.v1=" + service_->address();
    config_.listen = "127.0.0.1:0";
  }
  void Open() {
    Start();
    config_.listen = server_->addresses().front();
  }
  std::unique_ptr<Device> Call(const std::string& method) {
    return std::make_unique<Device>(Channel(), "1:10", "/any.v1.Service/" + method);
  }

  std::unique_ptr<AnyService> service_;
};

TEST_F(ExtraTest, PassesMessagesOnBothWays) {
  Open();
  auto call = Call("Echo");
  for (const std::string& message : {std::string("a"), std::string(), std::string(1 << 20, 'b')}) {
    call->SendBytes(message);
    EXPECT_EQ(call->NextBytes(), message);
  }
  EXPECT_THAT(service_->last_metadata(), HasSubstr("authorization=Bearer 1:10;"));
  EXPECT_THAT(service_->last_metadata(), HasSubstr("x-request-id="));
  EXPECT_THAT(service_->last_metadata(), HasSubstr("x-im-address=127.0.0.1;"));
}

TEST_F(ExtraTest, PassesMetadataOnBothWays) {
  Open();
  Peer peer(config_.listen);
  peer.Request({.path = "/any.v1.Service/Echo",
                .headers = {{"x-echo", "said ~"},
                            {"x-echo-bin", "AAH/"},
                            {"x-im-address", "6.6.6.6"},
                            {"grpc-timeout", "20S"}},
                .body = Framed("hello")});
  EXPECT_TRUE(peer.ReadUntilClosed());
  EXPECT_EQ(peer.body, Framed("hello"));
  EXPECT_EQ(peer.headers["x-echo"], "said ~");
  EXPECT_EQ(peer.headers["x-echo-bin"], "AAH/");
  EXPECT_EQ(peer.headers["grpc-status"], "0");
  EXPECT_THAT(service_->last_metadata(), HasSubstr(std::string("x-echo-bin=\0\1\xff;", 15)));
  EXPECT_THAT(service_->last_metadata(), Not(HasSubstr("6.6.6.6")));
  EXPECT_LT(service_->last_deadline(), std::chrono::system_clock::now() + 21s);
}

// gRPC tells of the two on two threads.
TEST_F(ExtraTest, NoMessageComesBeforeTheMetadata) {
  Open();
  for (int i = 0; i < 300; ++i) {
    Peer peer(config_.listen);
    peer.Request(
        {.path = "/any.v1.Service/Echo", .headers = {{"x-echo", "a"}}, .body = Framed("")});
    EXPECT_TRUE(peer.ReadUntilClosed());
    ASSERT_EQ(peer.headers["x-echo"], "a") << i;
  }
}

TEST_F(ExtraTest, HeadersComeBeforeTheFirstMessage) {
  Open();
  Peer peer(config_.listen);
  peer.Request({.path = "/any.v1.Service/EarlyHeaders", .headers = {{"x-echo", "early"}}});
  EXPECT_TRUE(peer.ReadUntil([&] { return peer.headers.count("x-echo") > 0; }));
  EXPECT_EQ(peer.closed, 0);
  EXPECT_EQ(peer.body, "");
}

TEST_F(ExtraTest, MetadataThatIsNoneIsRefused) {
  Open();
  for (const auto& header : Metadata{{"x-a", "\xff"}, {"x-b-bin", "%"}, {"x!c", "d"}}) {
    Peer peer(config_.listen);
    peer.Request({.path = "/any.v1.Service/Echo", .headers = {header}, .body = Framed("")});
    EXPECT_TRUE(peer.ReadUntilClosed());
    EXPECT_EQ(peer.headers["grpc-status"], "3") << header.first;
  }
  EXPECT_EQ(service_->calls, 0);
}

TEST_F(ExtraTest, PassesTheStatusOnWithItsTrailers) {
  Open();
  Peer peer(config_.listen);
  peer.Request({.path = "/any.v1.Service/Refuse",
                .headers = {{"x-echo", "begin"}, {"x-echo-bin", "AAH/"}},
                .body = ""});
  EXPECT_TRUE(peer.ReadUntilClosed());
  EXPECT_EQ(peer.headers["grpc-status"], "10");
  EXPECT_EQ(peer.headers["grpc-message"], "50 %25 of %0A%C3%A9");
  EXPECT_EQ(peer.headers["grpc-status-details-bin"], "Af8=");
  EXPECT_EQ(peer.headers["x-echo"], "begin");
  EXPECT_EQ(peer.headers["x-echo-bin"], "AAH/");
}

TEST_F(ExtraTest, ACancelledCallEndsAtTheService) {
  Open();
  auto call = Call("Deaf");
  Await([&] { return service_->calls == 1; });
  call->Cut();
  Await([&] { return service_->cancelled == 1; });
}

TEST_F(ExtraTest, AServiceThatCancelsEndsTheCall) {
  Open();
  auto call = Call("Deaf");
  Await([&] { return service_->calls == 1; });
  service_->CancelAll();
  EXPECT_EQ(call->End().code(), absl::StatusCode::kCancelled);
}

TEST_F(ExtraTest, ASlowReaderSlowsTheServiceDown) {
  Open();
  auto call = Call("Flood");
  ASSERT_TRUE(call->NextBytes().has_value());
  // Until the windows between the three are full.
  size_t before = 0;
  auto since = std::chrono::steady_clock::now();
  Await([&] {
    const auto now = std::chrono::steady_clock::now();
    if (std::exchange(before, service_->bytes_written) != service_->bytes_written) since = now;
    return now - since > 200ms;
  });
  EXPECT_LT(service_->bytes_written, size_t{4} << 20);
  EXPECT_TRUE(call->NextBytes().has_value());
  call->Cut();
}

TEST_F(ExtraTest, ASlowServiceSlowsTheSenderDown) {
  Open();
  Peer peer(config_.listen);
  std::string body;
  for (int i = 0; i < 1000; ++i) body += Framed(std::string(kFloodBytes, 'x'));
  peer.Request({.path = "/any.v1.Service/Deaf", .body = body});
  peer.ReadUntilSilent(200ms);
  // The rest is in windows, most of it in that of the service.
  EXPECT_GT(peer.unsent(), body.size() / 2);
  EXPECT_EQ(service_->bytes_read, 0u);
  service_->Hear();
  EXPECT_TRUE(peer.ReadUntilClosed());
  EXPECT_EQ(service_->bytes_read, kFloodBytes * 1000);
  EXPECT_EQ(peer.headers["grpc-status"], "0");
}

TEST_F(ExtraTest, ResponsesHaveALimit) {
  // Four frames are less than one message of the flood.
  options_.session.max_frame_bytes = kFloodBytes / 4 - 1;
  Open();
  EXPECT_EQ(Call("Flood")->End().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ExtraTest, RequestsHaveALimit) {
  options_.session.max_frame_bytes = 32 << 10;
  Open();
  auto large = Call("Echo");
  large->SendBytes(std::string((128 << 10) + 1, 'x'));
  EXPECT_EQ(large->End().code(), absl::StatusCode::kResourceExhausted);
  auto good = Call("Echo");
  good->SendBytes(std::string(128 << 10, 'x'));
  EXPECT_TRUE(good->NextBytes().has_value());
}

TEST_F(ExtraTest, OthersKnowNothingOfIt) {
  Open();
  Device other(Channel(), "1:10", "/any.v2.Service/Echo");
  other.SendBytes("");
  EXPECT_EQ(other.End().code(), absl::StatusCode::kUnimplemented);
  service_.reset();
  EXPECT_EQ(Call("Echo")->End().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(gateway_->Healthy());
}

}  // namespace
}  // namespace im::gateway
