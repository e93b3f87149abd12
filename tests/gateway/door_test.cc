// The door and the route: unary calls, what is offered, TLS, health, reflection and rate limits.
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "common/base/metrics.h"
#include "common/rpc/status.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "im/gateway/v1/gateway.grpc.pb.h"
#include "tests/gateway/fixture.h"
#include "tests/gateway/peer.h"

namespace im::gateway {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class DoorTest : public GatewayTest {
 protected:
  absl::Status MarkRead(const std::string& token, int64_t seq,
                        const std::map<std::string, std::string>& metadata = {}) {
    const auto stub = chat::v1::MessageService::NewStub(Channel());
    grpc::ClientContext context;
    if (!token.empty()) context.AddMetadata(rpc::kAuthorizationKey, "Bearer " + token);
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    chat::v1::MarkReadRequest request;
    request.set_conversation_id(5);
    request.set_seq(seq);
    return rpc::FromGrpc(stub->MarkRead(&context, request, &read_));
  }
  absl::Status LogIn(const std::shared_ptr<grpc::Channel>& channel) {
    const auto stub = auth::v1::AccountService::NewStub(channel);
    grpc::ClientContext context;
    auth::v1::LogInResponse response;
    return rpc::FromGrpc(stub->LogIn(&context, auth::v1::LogInRequest(), &response));
  }
  absl::Status CallAny(const std::string& path, const std::string& request = {},
                       milliseconds timeout = std::chrono::seconds(20)) {
    grpc::GenericStub stub(Channel());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    context.AddMetadata(rpc::kAuthorizationKey, "Bearer 1:10");
    const grpc::ByteBuffer bytes = rpc::ToByteBuffer(request);
    grpc::ByteBuffer response;
    grpc::Status status;
    Mutex mu;
    CondVar changed;
    bool done = false;
    stub.UnaryCall(&context, path, grpc::StubOptions(), &bytes, &response, [&](grpc::Status s) {
      MutexLock lock(&mu);
      status = s;
      done = true;
      changed.NotifyAll();
    });
    MutexLock lock(&mu);
    while (!done) changed.Wait(&mu);
    return rpc::FromGrpc(status);
  }

  chat::v1::MarkReadResponse read_;
};

TEST_F(DoorTest, PassesUnaryCallsOn) {
  Start();
  ASSERT_TRUE(MarkRead("1:10", 9, {{"x-request-id", "req-1"}}).ok());
  EXPECT_EQ(read_.read_seq(), 9);
  EXPECT_EQ(chat_->last_unary().access_token, "1:10");
  EXPECT_EQ(chat_->last_unary().request_id, "req-1");
  EXPECT_TRUE(LogIn(Channel()).ok());
}

TEST_F(DoorTest, PassesErrorsBackWithTheirDetails) {
  Start();
  const absl::Status status = MarkRead("1:10", 0);
  EXPECT_EQ(ReasonOfEnd(status), Reason::INVALID_FIELD);
  ASSERT_EQ(DetailsOf(status).violations.size(), 1u);
  EXPECT_EQ(DetailsOf(status).violations[0].field, "seq");
  EXPECT_EQ(ReasonOfEnd(MarkRead("", 9)), Reason::TOKEN_MISSING);
  EXPECT_EQ(ReasonOfEnd(MarkRead("nonsense", 9)), Reason::TOKEN_INVALID);
}

TEST_F(DoorTest, SaysItselfWhereACallComesFrom) {
  config_.listen = "127.0.0.1:0";
  Start();
  config_.listen = server_->addresses().front();
  ASSERT_TRUE(MarkRead("1:10", 9, {{"x-im-address", "6.6.6.6"}, {"x-im-else", "x"}}).ok());
  EXPECT_EQ(chat_->last_unary().address, "127.0.0.1");
  // Made up here, since there was none.
  EXPECT_FALSE(chat_->last_unary().request_id.empty());
}

TEST_F(DoorTest, OffersThePublicPackagesOnly) {
  Start();
  for (const char* path :
       {"/im.internal.v1.DirectoryService/FindUsers", "/im.internal.v1.LinkService/Attach",
        "/im.nonsense.v1.X/Y", "/im.chat.v1.MessageService/NoSuchMethod", "/x", "/im.chat.v1/X",
        "/im.gateway.v1.GatewayService/NoSuchMethod"}) {
    EXPECT_EQ(ReasonOfEnd(CallAny(path)), Reason::UNKNOWN_METHOD) << path;
  }
}

TEST_F(DoorTest, RefusesRequestsThatAreTooLarge) {
  options_.session.max_frame_bytes = 32 << 10;
  Start();
  const char* const path = "/im.chat.v1.MessageService/MarkRead";
  EXPECT_EQ(ReasonOfEnd(CallAny(path, std::string(33 << 10, 'x'))), Reason::REQUEST_TOO_LARGE);
  EXPECT_EQ(CallAny(path, std::string(200 << 10, 'x')).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOfEnd(CallAny(path, "\xff\xff")), Reason::MALFORMED_REQUEST);
}

// What is answered and not read is held by the gateway, but not for ever.
TEST_F(DoorTest, CutsACallWhoseResponseIsNotTaken) {
  config_.connection.call.response_patience = milliseconds(100);
  Start();
  auth::v1::LogInRequest request;
  request.set_user_name("large");
  Device deaf(Channel(), "", "/im.auth.v1.AccountService/LogIn");
  deaf.SendBytes(request.SerializeAsString());
  auto& not_taken = CounterFamily("im_gateway_responses_not_taken_total", "").Add({});
  Await([&] { return not_taken.Value() == 1; });
  EXPECT_EQ(deaf.End().code(), absl::StatusCode::kCancelled);
  // Who reads gets it, however large.
  Device reader(Channel(), "", "/im.auth.v1.AccountService/LogIn");
  reader.SendBytes(request.SerializeAsString());
  const auto bytes = reader.NextBytes();
  ASSERT_TRUE(bytes.has_value());
  EXPECT_GT(bytes->size(), size_t{1} << 20);
  EXPECT_TRUE(reader.End().ok());
}

TEST_F(DoorTest, WaitsForAServiceButNotForLong) {
  options_.session.call_wait = milliseconds(50);
  Start();
  chat_->Stop();
  Await([&] { return !gateway_->Healthy(); });
  const absl::Status status = MarkRead("1:10", 9);
  EXPECT_EQ(ReasonOfEnd(status), Reason::SERVICE_UNAVAILABLE);
  EXPECT_TRUE(DetailsOf(status).retry_after.has_value());
  EXPECT_TRUE(LogIn(Channel()).ok());
}

TEST_F(DoorTest, AnswersAfterAServiceCameBack) {
  options_.session.call_wait = std::chrono::seconds(15);
  Start();
  chat_->Stop();
  Await([&] { return !gateway_->Healthy(); });
  std::thread call([&] { EXPECT_TRUE(MarkRead("1:10", 9).ok()); });
  chat_->Start();
  call.join();
}

TEST_F(DoorTest, KeepsTheCallersDeadline) {
  Start();
  const auto started = std::chrono::system_clock::now();
  const absl::Status status =
      CallAny("/im.chat.v1.MessageService/ListEntries", {}, milliseconds(200));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(chat_->last_deadline(), started + std::chrono::seconds(10));
}

TEST_F(DoorTest, HealthTellsTheTruth) {
  std::atomic<bool> has_keys{true};
  options_.has_keys = [&] { return has_keys.load(); };
  Start();
  const auto serving = [&] {
    grpc::GenericStub stub(Channel());
    // HealthCheckResponse{status: SERVING} is 08 01.
    grpc::ClientContext context;
    const grpc::ByteBuffer request = rpc::ToByteBuffer("");
    grpc::ByteBuffer response;
    Mutex mu;
    CondVar changed;
    bool done = false;
    stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request,
                   &response, [&](grpc::Status) {
                     MutexLock lock(&mu);
                     done = true;
                     changed.NotifyAll();
                   });
    MutexLock lock(&mu);
    while (!done) changed.Wait(&mu);
    return rpc::ToString(response) == "\x08\x01";
  };
  Await(serving);
  has_keys.store(false);
  Await([&] { return !serving(); });
  has_keys.store(true);
  Await(serving);
  presence_->Stop();
  Await([&] { return !serving(); });
  presence_->Start();
  Await(serving);
  server_->Drain();
  Await([&] { return !serving(); });
}

TEST_F(DoorTest, ReflectionAnswersThroughTheDoor) {
  Start();
  Device reflection(Channel(), "",
                    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
  // ServerReflectionRequest{list_services: ""}, and {file_containing_symbol: ...}.
  reflection.SendBytes(std::string("\x3a\0", 2));
  EXPECT_THAT(reflection.NextBytes().value_or(""), HasSubstr("im.chat.v1.MessageService"));
  const std::string symbol = "im.gateway.v1.GatewayService";
  reflection.SendBytes("\x22" + std::string(1, static_cast<char>(symbol.size())) + symbol);
  EXPECT_THAT(reflection.NextBytes().value_or(""), HasSubstr("ConnectRequest"));
}

TEST_F(DoorTest, NamesAllPublicServices) {
  const std::vector<std::string> services = OfferedServices();
  EXPECT_THAT(services, Contains("im.auth.v1.AccountService"));
  EXPECT_THAT(services, Contains("im.auth.v1.DeviceService"));
  EXPECT_THAT(services, Contains("im.chat.v1.ContactService"));
  EXPECT_THAT(services, Contains("im.chat.v1.ConversationService"));
  EXPECT_THAT(services, Contains("im.chat.v1.MessageService"));
  EXPECT_THAT(services, Contains("im.gateway.v1.GatewayService"));
  EXPECT_THAT(services, Contains("im.presence.v1.PresenceService"));
  EXPECT_THAT(services, Not(Contains(HasSubstr("internal"))));
}

TEST_F(DoorTest, RefusesPlaintextOnAPublicAddress) {
  auto gateway = Gateway::Create(options_);
  ASSERT_TRUE(gateway.ok());
  config_.listen = "0.0.0.0:0";
  const auto server = Serving::Start(config_, gateway->get());
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("without TLS"));
  config_.listen = "";
  EXPECT_FALSE(Serving::Start(config_, gateway->get()).ok());
  config_.tls_listen = "127.0.0.1:0";
  EXPECT_FALSE(Serving::Start(config_, gateway->get()).ok());
}

TEST(IsLocalTest, GoesByAddressesNotByNames) {
  for (const char* local :
       {"unix:/run/x", "127.0.0.1:1", "127.9.8.7:1", "localhost:1", "[::1]:1"}) {
    EXPECT_TRUE(rpc::IsLocal(local)) << local;
  }
  for (const char* other :
       {"127.example.org:1", "127.0.0.1.example.org:1", "10.0.0.1:1", "[::]:1"}) {
    EXPECT_FALSE(rpc::IsLocal(other)) << other;
  }
}

class TlsDoorTest : public DoorTest {
 protected:
  struct Ticket {
    std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> last{nullptr, SSL_SESSION_free};
    int given = 0;
  };

  TlsDoorTest() {
    config_.tls_certificate = dir_ + "/tls.crt";
    config_.tls_key = dir_ + "/tls.key";
    const std::string make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 " +
                             std::string("-nodes -days 2 -subj /CN=localhost -addext ") +
                             "subjectAltName=DNS:localhost -out " + config_.tls_certificate +
                             " -keyout " + config_.tls_key + " 2>/dev/null";
    EXPECT_EQ(std::system(make.c_str()), 0);
    config_.tls_listen = "127.0.0.1:0";
    Start();
  }
  std::string address() const {
    const std::string& address = server_->addresses().back();
    return "localhost" + address.substr(address.rfind(':'));
  }

  // Comes with the ticket, if there is one, and leaves with the next, if one was given. Whether it
  // was taken.
  bool Resumes(int version, Ticket* ticket) {
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(
        SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    SSL_CTX_set_max_proto_version(context.get(), version);
    SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>("\2h2"), 3);
    SSL_CTX_set_session_cache_mode(context.get(),
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(context.get(), ticket);
    SSL_CTX_sess_set_new_cb(context.get(), [](SSL* tls, SSL_SESSION* fresh) {
      auto* const taken = static_cast<Ticket*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls)));
      taken->last.reset(fresh);
      ++taken->given;
      return 1;
    });
    const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), SSL_free);
    if (ticket->last != nullptr) SSL_set_session(tls.get(), ticket->last.get());
    const int fd = ConnectTo(server_->addresses().back());
    SSL_set_fd(tls.get(), fd);
    EXPECT_EQ(SSL_connect(tls.get()), 1);
    // With TLS 1.3 the ticket comes before the server's first frame.
    char byte = 0;
    EXPECT_EQ(SSL_read(tls.get(), &byte, 1), 1);
    // Without a farewell OpenSSL forgets the ticket.
    SSL_shutdown(tls.get());
    close(fd);
    return SSL_session_reused(tls.get()) == 1;
  }
};

TEST_F(TlsDoorTest, ComesBackWithATicket) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Ticket ticket;
    EXPECT_FALSE(Resumes(version, &ticket));
    EXPECT_EQ(ticket.given, 1) << version;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(Resumes(version, &ticket)) << version;
  }
}

TEST_F(TlsDoorTest, SpeaksTls) {
  const std::string at = address();
  EXPECT_TRUE(LogIn(rpc::Connect(at, {.ca = config_.tls_certificate})).ok());
  EXPECT_FALSE(LogIn(rpc::Connect(at)).ok());
  Device alice(rpc::Connect(at, {.ca = config_.tls_certificate}), "1:10");
  alice.Hello();
  EXPECT_TRUE(alice.Next().has_welcome());
}

TEST_F(DoorTest, EndsAConnectionThatIsOfNoUse) {
  config_.connection_idle_seconds = 1;
  config_.listen = "127.0.0.1:0";
  Start();
  const std::string& address = server_->addresses().front();
  const auto soon = std::chrono::system_clock::now() + std::chrono::seconds(20);
  const auto idle = rpc::Connect(address);
  ASSERT_TRUE(LogIn(idle).ok());
  EXPECT_TRUE(idle->WaitForStateChange(GRPC_CHANNEL_READY, soon));

  // One that says nothing.
  const int silent = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  ASSERT_EQ(connect(silent, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  const timeval patience{20, 0};
  setsockopt(silent, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  char greeting[256];
  ssize_t count = 1;
  while (count > 0) count = recv(silent, greeting, sizeof greeting, 0);
  EXPECT_EQ(count, 0);
  close(silent);
}

class LimitsTest : public DoorTest {
 protected:
  LimitsTest() { options_.limits.exempt = ""; }
  void Limit(Action action, Scope scope, int per_minute) {
    options_.limits.per_minute[static_cast<int>(action)][static_cast<int>(scope)] = per_minute;
  }
  static void ExpectLimited(const absl::Status& status) {
    EXPECT_EQ(ReasonOfEnd(status), Reason::RATE_LIMITED);
    const auto retry = DetailsOf(status).retry_after;
    ASSERT_TRUE(retry.has_value());
    EXPECT_GT(retry->count(), 0);
    EXPECT_LE(retry->count(), 60'000);
  }
};

TEST_F(LimitsTest, LogInsPerAddress) {
  Limit(Action::kLogIn, Scope::kAddress, 2);
  Start();
  EXPECT_TRUE(LogIn(Channel()).ok());
  EXPECT_TRUE(LogIn(Channel()).ok());
  ExpectLimited(LogIn(Channel()));
  // Another kind is another bucket.
  EXPECT_TRUE(MarkRead("1:10", 9).ok());
}

TEST_F(LimitsTest, CallsPerDeviceAndAccount) {
  Limit(Action::kOther, Scope::kDevice, 2);
  Limit(Action::kOther, Scope::kAccount, 3);
  Start();
  EXPECT_TRUE(MarkRead("1:10", 9).ok());
  EXPECT_TRUE(MarkRead("1:10", 9).ok());
  ExpectLimited(MarkRead("1:10", 9));
  EXPECT_TRUE(MarkRead("1:11", 9).ok());
  ExpectLimited(MarkRead("1:11", 9));
  EXPECT_TRUE(MarkRead("2:20", 9).ok());
}

TEST_F(LimitsTest, Connects) {
  Limit(Action::kConnect, Scope::kDevice, 1);
  Start();
  auto alice = Live("1:10");
  ExpectLimited(Device(Channel(), "1:10").End());
}

TEST_F(LimitsTest, SendsOnAStream) {
  Limit(Action::kSend, Scope::kDevice, 1);
  Start();
  auto alice = Live("1:10");
  alice->SendMessage(1, 5, "a");
  chat_->Answer(chat_->TakeCall(), "");
  EXPECT_EQ(alice->Next().answer().call_id(), 1u);
  alice->SendMessage(2, 5, "a");
  const v1::ServerFrame answer = alice->Next();
  EXPECT_EQ(ReasonOf(answer), Reason::RATE_LIMITED);
  EXPECT_TRUE(answer.answer().failure().has_retry_after());
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kCall));
}

TEST_F(LimitsTest, NotForTheExempt) {
  Limit(Action::kLogIn, Scope::kAddress, 1);
  options_.limits.exempt = "unix";
  Start();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(LogIn(Channel()).ok());
}

TEST_F(LimitsTest, RefusesAnExemptionThatIsNone) {
  options_.limits.exempt = "127.0.0.0/33";
  EXPECT_FALSE(Gateway::Create(options_).ok());
}

}  // namespace
}  // namespace im::gateway
