// The door's HTTP/2: what gRPC says in it, and clients that do not keep to it.
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "absl/strings/escaping.h"
#include "common/base/metrics.h"
#include "common/rpc/status.h"
#include "gateway/http2/call.h"
#include "gateway/http2/grpc_wire.h"
#include "gateway/http2/loop.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "im/gateway/v1/gateway.grpc.pb.h"
#include "tests/gateway/fixture.h"
#include "tests/gateway/peer.h"

namespace im::gateway::http2 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::Pair;
using namespace std::chrono_literals;

// A service may answer when the door is gone: who answers holds the call, and the call its loop.
TEST(LoopTest, OutlivesTheDoorForCallsThatAreHeld) {
  const CallOptions options;
  auto loop = std::make_shared<Loop>();
  const std::weak_ptr<Loop> alive = loop;
  auto call = std::make_shared<Call>(loop.get(), nullptr, 1, "unix", std::make_shared<AddressUse>(),
                                     &options);
  // Posted, and maybe never run: what is left does not keep both for ever.
  for (int i = 0; i < 100; ++i) call->Read();
  loop->Stop();
  loop = nullptr;
  ASSERT_FALSE(alive.expired());
  call->End(grpc::Status::OK);
  EXPECT_TRUE(call->Write(Frame("late")));
  call = nullptr;
  EXPECT_TRUE(alive.expired());
}

TEST(GrpcWireTest, Timeouts) {
  EXPECT_THAT(ParseTimeout("5S"), Optional(5s));
  EXPECT_THAT(ParseTimeout("100m"), Optional(100ms));
  EXPECT_THAT(ParseTimeout("1H"), Optional(1h));
  EXPECT_THAT(ParseTimeout("2M"), Optional(2min));
  EXPECT_THAT(ParseTimeout("3u"), Optional(3us));
  EXPECT_THAT(ParseTimeout("4n"), Optional(4ns));
  EXPECT_TRUE(ParseTimeout("99999999H").has_value());
  for (const char* bad : {"", "S", "5", "5s", "-5S", "123456789S", "5 S"}) {
    EXPECT_EQ(ParseTimeout(bad), std::nullopt) << bad;
  }
}

TEST(GrpcWireTest, ContentTypes) {
  for (const char* good : {"application/grpc", "application/grpc+proto", "application/grpc;a=b"}) {
    EXPECT_TRUE(IsGrpc(good)) << good;
  }
  for (const char* bad : {"", "application/grp", "application/grpc-web",
                          "application/grpc-web+proto", "application/grpcfoo", "text/plain"}) {
    EXPECT_FALSE(IsGrpc(bad)) << bad;
  }
}

TEST(GrpcWireTest, StatusInHeaders) {
  EXPECT_EQ(PercentEncode("50 % of \n\xc3\xa9"), "50 %25 of %0A%C3%A9");
  EXPECT_THAT(Trailers(grpc::Status::OK), ElementsAre(Pair("grpc-status", "0")));
  EXPECT_THAT(Trailers(grpc::Status(grpc::StatusCode::ABORTED, "a\nb", "\xff")),
              ElementsAre(Pair("grpc-status", "10"), Pair("grpc-message", "a%0Ab"),
                          Pair("grpc-status-details-bin", "/w==")));
}

TEST(GrpcWireTest, MessagesHoweverTheyAreCut) {
  const std::vector<std::string> messages = {"", "a", std::string(300, 'b'), "", "c"};
  std::string bytes;
  for (const std::string& message : messages) bytes += Framed(message);
  for (const size_t piece : {1u, 2u, 7u, 304u, 10'000u}) {
    MessageReader reader(1000);
    std::vector<std::string> read;
    std::string message;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      reader.Append(std::string_view(bytes).substr(at, piece));
      while (reader.Read(&message) == MessageReader::Next::kMessage) read.push_back(message);
    }
    EXPECT_EQ(read, messages) << piece;
    EXPECT_TRUE(reader.empty());
  }
}

// What came together is not moved for each message of it: else this takes minutes.
TEST(GrpcWireTest, ManySmallMessagesAtOnce) {
  std::string bytes;
  constexpr size_t kMessages = 2'000'000;
  for (size_t i = 0; i < kMessages; ++i) bytes += Framed("x");
  MessageReader reader(10);
  reader.Append(bytes);
  std::string message;
  size_t read = 0;
  while (reader.Read(&message) == MessageReader::Next::kMessage) ++read;
  EXPECT_EQ(read, kMessages);
  EXPECT_TRUE(reader.empty());
}

TEST(GrpcWireTest, MessagesThatAreNone) {
  std::string message;
  MessageReader large(10);
  large.Append(Framed(std::string(11, 'x')).substr(0, 5));
  EXPECT_EQ(large.Read(&message), MessageReader::Next::kTooLarge);
  MessageReader flagged(10);
  flagged.Append(Framed("x", 2));
  EXPECT_EQ(flagged.Read(&message), MessageReader::Next::kMalformed);
  MessageReader compressed(10);
  compressed.Append(Framed("x", 1));
  EXPECT_EQ(compressed.Read(&message), MessageReader::Next::kCompressed);
}

TEST(GrpcWireTest, Inflates) {
  const std::string text(100'000, 'x');
  std::string packed(compressBound(text.size()), 0);
  uLongf size = packed.size();
  ASSERT_EQ(compress(reinterpret_cast<Bytef*>(packed.data()), &size,
                     reinterpret_cast<const Bytef*>(text.data()), text.size()),
            Z_OK);
  packed.resize(size);
  EXPECT_EQ(Inflate(packed, text.size()), text);
  EXPECT_EQ(Inflate(packed, text.size() - 1), std::nullopt) << "a bomb";
  EXPECT_EQ(Inflate(packed.substr(0, size / 2), text.size()), std::nullopt);
  EXPECT_EQ(Inflate("nonsense", 100), std::nullopt);
}

class Http2Test : public GatewayTest {
 protected:
  void StartOnTcp() {
    config_.listen = "127.0.0.1:0";
    Start();
    config_.listen = server_->addresses().front();
  }
  bool ServesOthers() {
    auto alice = Connect("1:10");
    return alice->Next().has_welcome();
  }
};

TEST_F(Http2Test, AnswersWhoDoesNotSpeakGrpc) {
  StartOnTcp();
  Peer get(config_.listen);
  get.Request({.method = "GET", .body = ""});
  EXPECT_TRUE(get.ReadUntilClosed());
  EXPECT_EQ(get.headers[":status"], "405");
  for (const char* const type : {"application/json", "application/grpc-web"}) {
    Peer other(config_.listen);
    other.Request({.content_type = type, .body = ""});
    EXPECT_TRUE(other.ReadUntilClosed());
    EXPECT_EQ(other.headers[":status"], "415") << type;
  }
  // What it goes on to say is not read.
  Peer body(config_.listen);
  body.Request({.content_type = "text/plain", .body = Framed("a") + Framed("b") + "\7"});
  EXPECT_TRUE(body.ReadUntilClosed());
  EXPECT_EQ(body.headers[":status"], "415");
  EXPECT_EQ(body.body, "This is a gRPC server.\n");
  EXPECT_EQ(body.headers.count("grpc-status"), 0u);
  Peer http1(config_.listen);
  http1.SendBytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  http1.ReadToTheEnd();
  EXPECT_TRUE(http1.headers.empty());
}

TEST_F(Http2Test, TakesCompressedRequests) {
  Start();
  const auto stub = chat::v1::MessageService::NewStub(Channel());
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    context.AddMetadata("authorization", "Bearer 1:10");
    chat::v1::MarkReadRequest request;
    request.set_conversation_id(5);
    request.set_seq(9);
    // Long enough to be worth compressing.
    request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(
        1000, std::string(5000, 'x'));
    chat::v1::MarkReadResponse response;
    const grpc::Status status = stub->MarkRead(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.read_seq(), 9);
  }
}

TEST_F(Http2Test, SaysWhatItCannotDecompress) {
  StartOnTcp();
  Peer peer(config_.listen);
  peer.Request({.headers = {{"grpc-encoding", "snappy"}}, .body = Framed("x", 1)});
  EXPECT_TRUE(peer.ReadUntilClosed());
  EXPECT_EQ(peer.headers["grpc-status"], "12");
  EXPECT_THAT(peer.headers["grpc-message"], HasSubstr("identity,deflate,gzip"));
  EXPECT_EQ(peer.headers["grpc-accept-encoding"], "identity,deflate,gzip");
  std::string details;
  ASSERT_TRUE(absl::Base64Unescape(peer.headers["grpc-status-details-bin"], &details));
  EXPECT_THAT(details, HasSubstr("COMPRESSION_UNSUPPORTED"));
}

TEST_F(Http2Test, EndsAStreamAtItsDeadline) {
  Start();
  grpc::GenericStub stub(Channel());
  const auto client = im::gateway::v1::GatewayService::NewStub(Channel());
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer 1:10");
  context.set_deadline(std::chrono::system_clock::now() + 300ms);
  const auto stream = client->Connect(&context);
  im::gateway::v1::ConnectRequest hello;
  hello.mutable_hello();
  stream->Write(hello);
  im::gateway::v1::ConnectResponse frame;
  while (stream->Read(&frame)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  Await([&] { return gateway_->sessions() == 0; });
}

// gRPC, which speaks to the services, ends the process when it is given such a value.
TEST_F(Http2Test, AHeaderThatGrpcWouldNotTakeEndsNobody) {
  StartOnTcp();
  for (const char* const path :
       {"/im.chat.v1.MessageService/MarkRead", "/grpc.health.v1.Health/Check",
        "/im.gateway.v1.GatewayService/Connect"}) {
    Peer peer(config_.listen);
    peer.Request({.path = path,
                  .headers = {{"authorization", "Bearer \xff\xfe"}, {"x-request-id", "\xff"}},
                  .body = Framed("")});
    EXPECT_TRUE(peer.ReadUntilClosed()) << path;
    EXPECT_EQ(peer.headers["grpc-status"], "16") << path;
  }
  for (const char* const path :
       {"/im.chat.v1.MessageService/\xff", "/\xff", "/im.chat.v1.\x01/X"}) {
    Peer peer(config_.listen);
    peer.Request({.path = path, .headers = {{"authorization", "Bearer 1:10"}}, .body = Framed("")});
    EXPECT_TRUE(peer.ReadUntilClosed()) << path;
  }
  EXPECT_TRUE(ServesOthers());
}

TEST_F(Http2Test, SaysThatItGoes) {
  StartOnTcp();
  Peer idle(config_.listen);
  idle.Request({.method = "GET", .body = ""});
  ASSERT_TRUE(idle.ReadUntilClosed());
  server_->Shutdown(1s);
  idle.ReadToTheEnd();
  EXPECT_THAT(idle.goaway, Optional(uint32_t{NGHTTP2_NO_ERROR}));
}

// What a client says while the gateway ends the connection must not make TCP throw away what the
// gateway said last.
TEST_F(Http2Test, EndsAConnectionWithoutAReset) {
  StartOnTcp();
  // The preface with SETTINGS, a GOAWAY, and a frame of an unknown type that does not fit into what
  // the gateway reads at once.
  constexpr size_t kBeyond = 80'000;
  std::string said("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  said.append("\0\0\x8\7\0\0\0\0\0\0\0\0\0\0\0\0\0", 17);
  while (said.size() < kBeyond) {
    said.append("\0\x20\0\xfa\0\0\0\0\0", 9).append(8192, 'x');
  }
  for (int i = 0; i < 20; ++i) {
    const int fd = ConnectTo(config_.listen);
    ASSERT_EQ(send(fd, said.data(), said.size(), MSG_NOSIGNAL), ssize_t(said.size()));
    char bytes[4096];
    ssize_t count = 1;
    while (count > 0) count = recv(fd, bytes, sizeof bytes, 0);
    EXPECT_EQ(count, 0) << strerror(errno);
    close(fd);
  }
}

TEST_F(Http2Test, WaitsForTheClientsEndNotForEver) {
  config_.connection_idle_seconds = 1;
  StartOnTcp();
  Peer peer(config_.listen);
  auto& open = GaugeFamily("im_gateway_connections", "").Add({});
  Await([&] { return open.Value() == 1; });
  peer.ReadToTheEnd();
  EXPECT_THAT(peer.goaway, Optional(uint32_t{NGHTTP2_NO_ERROR}));
  Await([&] { return open.Value() == 0; });
}

}  // namespace
}  // namespace im::gateway::http2
