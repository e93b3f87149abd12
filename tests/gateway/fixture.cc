#include "tests/gateway/fixture.h"

#include <cstdlib>

namespace im::gateway {

using std::chrono::steady_clock;

GatewayTest::GatewayTest() {
  std::string pattern = (std::filesystem::temp_directory_path() / "im-gateway-XXXXXX").string();
  dir_ = mkdtemp(pattern.data());
  auth_ = std::make_unique<FakeService>(SocketOf("auth"));
  chat_ = std::make_unique<FakeService>(SocketOf("chat"));
  presence_ = std::make_unique<FakeService>(SocketOf("presence"));
  config_.listen = SocketOf("gateway");
  options_.upstreams = {{auth_->address()}, {chat_->address()}, {presence_->address()}};
  options_.authenticate = FakeAuthenticate;
  options_.is_revoked = [this](int64_t device_id) {
    MutexLock lock(&revoked_mu_);
    return revoked_.count(device_id) > 0;
  };
  options_.tick = milliseconds(5);
  options_.link.retry = milliseconds(10);
  options_.session.resync_delay = milliseconds(50);
}

GatewayTest::~GatewayTest() {
  StopGateway();
  auth_.reset();
  chat_.reset();
  presence_.reset();
  std::filesystem::remove_all(dir_);
}

void GatewayTest::StartServices() {
  auth_->Start();
  chat_->Start();
  presence_->Start();
}

void GatewayTest::StartGateway() {
  auto gateway = Gateway::Create(options_);
  ASSERT_TRUE(gateway.ok()) << gateway.status();
  gateway_ = *std::move(gateway);
  config_.session.max_frame_bytes = options_.session.max_frame_bytes;
  auto server = Serving::Start(config_, gateway_.get());
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
}

void GatewayTest::Start() {
  StartServices();
  StartGateway();
  Await([&] { return gateway_->Healthy(); });
}

void GatewayTest::StopGateway() {
  server_.reset();
  gateway_.reset();
}

std::shared_ptr<grpc::Channel> GatewayTest::Channel() const {
  grpc::ChannelArguments arguments;
  // A connection each, with windows that stay small, so that who does not read is felt soon.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel(config_.listen, grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<Device> GatewayTest::Connect(const std::string& token, const std::string& have) {
  auto device = std::make_unique<Device>(Channel(), token);
  device->Hello(have);
  return device;
}

std::unique_ptr<Device> GatewayTest::Live(const std::string& token, uint64_t* session) {
  auto device = Connect(token);
  EXPECT_TRUE(device->Next().has_welcome());
  EXPECT_TRUE(device->Next().has_caught_up());
  const uint64_t number = chat_->TakeOpen().session();
  if (session != nullptr) *session = number;
  EXPECT_EQ(chat_->TakeCall().frame(), 3);
  presence_->TakeOpen();
  return device;
}

void GatewayTest::Await(const std::function<bool()>& condition) {
  const auto until = steady_clock::now() + kPatience;
  Mutex mu;
  CondVar nobody;
  MutexLock lock(&mu);
  while (!condition()) {
    if (steady_clock::now() > until) {
      ADD_FAILURE() << "waited in vain";
      return;
    }
    nobody.WaitUntil(&mu, steady_clock::now() + milliseconds(2));
  }
}

void GatewayTest::Revoke(int64_t device_id) {
  {
    MutexLock lock(&revoked_mu_);
    revoked_.insert(device_id);
  }
  gateway_->Revoke(device_id);
}

std::string ChatEvent(int64_t conversation, int64_t seq, size_t padding) {
  chat::v1::Event event;
  event.mutable_entry()->set_conversation_id(conversation);
  event.mutable_entry()->set_seq(seq);
  std::string bytes = event.SerializeAsString();
  if (padding > 0) {
    // A field of a later version.
    chat::v1::Event padded;
    padded.GetReflection()->MutableUnknownFields(&padded)->AddLengthDelimited(
        1000, std::string(padding, 'x'));
    bytes += padded.SerializeAsString();
  }
  return bytes;
}

int64_t SeqOf(const v1::ServerFrame& frame) { return frame.chat().entry().seq(); }

Reason ReasonOf(const v1::ServerFrame& answer) {
  EXPECT_TRUE(answer.answer().has_failure()) << answer.ShortDebugString();
  return ParseReason(answer.answer().failure().reason()).value_or(Reason::INTERNAL);
}

Reason ReasonOfEnd(const absl::Status& status) {
  EXPECT_FALSE(status.ok());
  const auto reason = im::ReasonOf(status);
  EXPECT_TRUE(reason.has_value()) << status;
  return reason.value_or(Reason::INTERNAL);
}

}  // namespace im::gateway
