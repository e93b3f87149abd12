// Whole sessions: frames of a client through the gateway behind its door, with a chat and a
// presence in this process. Whatever a client sends, it hears Welcome first, an answer to each of
// its calls, and nothing after the end.
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/rpc/status.h"
#include "gateway/gateway.h"
#include "im/internal/v1/link.grpc.pb.h"
#include "tests/fuzz/check.h"

namespace im::gateway {
namespace {

using fuzz::Check;
using std::chrono::steady_clock;

// A session that hangs is a finding, too.
constexpr std::chrono::seconds kPatience{20};

absl::StatusOr<rpc::Identity> Authenticate(std::string_view token) {
  if (token != "alice" && token != "other device") return Error(Reason::TOKEN_INVALID);
  return rpc::Identity{.user_id = 1,
                       .device_id = token == "alice" ? 10 : 11,
                       .expires_at = std::chrono::system_clock::now() + std::chrono::minutes(15)};
}

// Answers what the gateway asks: opens sessions, brings resumes to their end in two pages, says yes
// to calls. As chat does, it refuses a Have that is none.
class EchoService : public pb::LinkService::Service {
 public:
  grpc::Status Attach(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<pb::AttachResponse, pb::AttachRequest>* stream) override {
    pb::AttachRequest request;
    while (stream->Read(&request)) {
      pb::AttachResponse response;
      for (const pb::GatewayItem& item : request.items()) Answer(item, &response);
      if (response.items_size() > 0) stream->Write(response);
    }
    return grpc::Status::OK;
  }

 private:
  static void Answer(const pb::GatewayItem& item, pb::AttachResponse* response) {
    if (item.has_hello()) response->add_items()->mutable_hello()->set_epoch(7);
    if (item.has_heartbeat()) response->add_items()->mutable_heartbeat();
    if (item.has_open()) {
      response->add_items()->mutable_opened()->set_session(item.open().session());
    }
    if (item.has_resume_more()) {
      response->add_items()->mutable_resume_end()->set_session(item.resume_more().session());
    }
    if (!item.has_call()) return;
    const pb::SessionCall& call = item.call();
    if (call.frame() == static_cast<int>(kHaveFrame)) return AnswerHave(call, response);
    auto* const answer = response->add_items()->mutable_answer();
    answer->set_session(call.session());
    answer->set_call_id(call.call_id());
    answer->set_frame(call.frame());
    answer->set_response("");
  }

  static void AnswerHave(const pb::SessionCall& call, pb::AttachResponse* response) {
    chat::v1::Have have;
    if (have.ParseFromString(call.request())) {
      auto* const delivery = response->add_items()->mutable_delivery();
      delivery->set_session(call.session());
      delivery->set_event(chat::v1::Event().SerializeAsString());
      response->add_items()->mutable_resume_page_end()->set_session(call.session());
    } else {
      auto* const end = response->add_items()->mutable_resume_end();
      end->set_session(call.session());
      end->mutable_failure()->set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
      end->mutable_failure()->set_reason("MALFORMED_REQUEST");
    }
  }
};

// One for all inputs.
class World {
 public:
  World() {
    InitLog({.level = LogLevel::kError});
    std::string pattern = (std::filesystem::temp_directory_path() / "im-fuzz-XXXXXX").string();
    dir_ = mkdtemp(pattern.data());
    const std::string chat = "unix:" + dir_ + "/chat", presence = "unix:" + dir_ + "/presence";
    grpc::ServerBuilder builder;
    for (const std::string& address : {chat, presence}) {
      builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    }
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    Check(server_ != nullptr, "there is a service");
    GatewayOptions options;
    options.upstreams = {{"unix:" + dir_ + "/auth"}, {chat}, {presence}};
    options.authenticate = Authenticate;
    options.is_revoked = [](int64_t) { return false; };
    options.tick = milliseconds(5);
    options.session.max_frame_bytes = 4096;
    options.session.calls_in_flight = 4;
    auto gateway = Gateway::Create(options);
    Check(gateway.ok(), "there is a gateway");
    gateway_ = *std::move(gateway);
    AwaitLinks();
  }
  ~World() {
    gateway_.reset();
    server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove_all(dir_);
  }

  Gateway* gateway() { return gateway_.get(); }

 private:
  void AwaitLinks() {
    const auto until = steady_clock::now() + kPatience;
    const Links& links = gateway_->hub().links();
    Mutex mu;
    CondVar nobody;
    MutexLock lock(&mu);
    while (!links.IsUp(Link::Service::kChat) || !links.IsUp(Link::Service::kPresence)) {
      Check(steady_clock::now() < until, "links come up");
      nobody.WaitUntil(&mu, steady_clock::now() + milliseconds(2));
    }
  }

  std::string dir_;
  EchoService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Gateway> gateway_;
};

// The client's end of the door.
class Client : public Sink {
 public:
  // `slow`: has room for one frame at a time.
  explicit Client(bool slow) : slow_(slow) {}

  bool Write(const Frame& frame) override {
    v1::ConnectResponse response;
    Check(response.ParseFromArray(frame.slice().begin(), static_cast<int>(frame.size())),
          "a frame of the server is one for Protobuf");
    MutexLock lock(&mu_);
    Check(!ended_ && !full_, "nothing is written after the end, or without room");
    Take(response.frame());
    full_ = slow_;
    changed_.NotifyAll();
    return !slow_;
  }
  void End(const grpc::Status& status) override {
    MutexLock lock(&mu_);
    Check(!ended_ && !full_, "a stream ends once");
    ended_ = true;
    status_ = rpc::FromGrpc(status);
    changed_.NotifyAll();
  }
  void Read() override {
    MutexLock lock(&mu_);
    ++reads_;
    changed_.NotifyAll();
  }
  void Cut() override {}

  // Frames that are answered, as they are sent.
  void Expect(uint64_t call_id) {
    MutexLock lock(&mu_);
    ++expected_[call_id];
    ++unanswered_;
  }
  // Waits until the session reads on; false: it has ended.
  bool AwaitRead(SessionEvents* events) {
    return Await(events, [this]() IM_REQUIRES(mu_) { return reads_ > 0 && reads_-- > 0; });
  }
  // Waits until all that must come has come; false: the session has ended.
  bool AwaitAll(SessionEvents* events) {
    return Await(events, [this]() IM_REQUIRES(mu_) {
      return unanswered_ == 0 && (!welcomed_ || caught_up_) && !full_;
    });
  }
  void AwaitEnd(SessionEvents* events) {
    Await(events, []() { return false; });
  }

  bool ended() const {
    MutexLock lock(&mu_);
    return ended_;
  }
  bool welcomed() const {
    MutexLock lock(&mu_);
    return welcomed_;
  }
  absl::Status status() const {
    MutexLock lock(&mu_);
    return status_;
  }

 private:
  void Take(const v1::ServerFrame& frame) IM_REQUIRES(mu_) {
    Check(frame.has_welcome() != welcomed_, "Welcome comes first, and once");
    Check(!said_end_, "nothing comes after SessionEnd");
    welcomed_ = true;
    caught_up_ = caught_up_ || frame.has_caught_up();
    said_end_ = frame.has_session_end();
    if (!frame.has_answer()) return;
    const uint64_t call_id = frame.answer().call_id();
    Check(expected_[call_id]-- > 0, "only what was asked is answered, and once");
    --unanswered_;
  }

  // Makes room meanwhile. false: the session has ended.
  template <typename Condition>
  bool Await(SessionEvents* events, const Condition& condition) {
    const auto until = steady_clock::now() + kPatience;
    while (true) {
      {
        MutexLock lock(&mu_);
        while (!ended_ && !full_ && !condition()) {
          Check(changed_.WaitUntil(&mu_, until), "a session does not hang");
        }
        if (ended_) return false;
        if (!full_) return true;
        full_ = false;
      }
      events->OnRoom();
    }
  }

  const bool slow_;
  mutable Mutex mu_;
  CondVar changed_;
  bool ended_ IM_GUARDED_BY(mu_) = false;
  bool full_ IM_GUARDED_BY(mu_) = false;
  bool welcomed_ IM_GUARDED_BY(mu_) = false;
  bool caught_up_ IM_GUARDED_BY(mu_) = false;
  bool said_end_ IM_GUARDED_BY(mu_) = false;
  int reads_ IM_GUARDED_BY(mu_) = 0;
  int unanswered_ IM_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, int> expected_ IM_GUARDED_BY(mu_);
  absl::Status status_ IM_GUARDED_BY(mu_);
};

// What is answered, unless the stream ends: all but Hello, Have and signs of life.
bool IsAnswered(std::string_view bytes) {
  const auto frame = ParseClientFrame(bytes);
  return frame && frame->call_id != 0 && frame->number != kHelloFrame &&
         frame->number != kHaveFrame && frame->number != kHeartbeatFrame;
}

void Run(fuzz::Input* input) {
  static World world;
  const uint8_t kind = input->Byte();
  const bool subscribed = kind & 1, slow = kind & 2, cut = kind & 4;
  const auto client = std::make_shared<Client>(slow);
  const auto opened =
      world.gateway()->Open({.path = "/im.gateway.v1.GatewayService/Connect",
                             .authorization = "Bearer alice",
                             .request_id = "fuzz",
                             .address = "unix",
                             .deadline = std::chrono::system_clock::time_point::max()},
                            subscribed ? Front::Kind::kSubscribe : Front::Kind::kConnect, client);
  Check(opened.ok(), "a stream can be opened");
  SessionEvents* const session = opened->get();
  // Of a subscription one frame is read.
  bool reading = true;
  while (reading && !input->empty() && !client->ended()) {
    const std::string_view frame = input->Piece();
    if (!subscribed && IsAnswered(frame)) client->Expect(ParseClientFrame(frame)->call_id);
    reading = session->OnFrame(std::string(frame)) || (!subscribed && client->AwaitRead(session));
  }
  if (!cut && !client->AwaitAll(session) && !client->welcomed()) {
    Check(ReasonOf(client->status()).has_value(), "who is not let in is told why");
  }
  if (!client->ended()) session->OnClosed();
  client->AwaitEnd(session);
}

}  // namespace
}  // namespace im::gateway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  im::fuzz::Input input(data, size);
  im::gateway::Run(&input);
  return 0;
}
