#include <atomic>
#include <future>
#include <random>
#include <utility>
#include <vector>

#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "im/gateway/v1/gateway.grpc.pb.h"
#include "tests/judges/cpp/client.h"

namespace {

namespace auth = im::auth::v1;
namespace chat = im::chat::v1;
namespace gateway = im::gateway::v1;
using std::chrono::steady_clock;
using Connection = gateway::GatewayService::Stub;

constexpr std::chrono::seconds kPatience{180};
constexpr std::chrono::seconds kBeat{5};
constexpr int kTotal = 10'000;
constexpr int kInFlight = 64;

std::string Random(size_t bytes) {
  thread_local std::random_device device;
  std::uniform_int_distribution<int> any(0, 255);
  std::string made(bytes, '\0');
  for (char& c : made) c = static_cast<char>(any(device));
  return made;
}

std::string RandomHex(size_t bytes) {
  std::string made;
  for (const unsigned char c : Random(bytes)) {
    made += "0123456789abcdef"[c >> 4];
    made += "0123456789abcdef"[c & 15];
  }
  return made;
}

// A new account.
class Person {
 public:
  Person(const std::shared_ptr<grpc::Channel>& channel, const std::string& name) {
    auth::RegisterRequest request;
    auth::RegisterResponse login;
    request.set_user_name(name + RandomHex(6));
    request.set_password("correct horse " + RandomHex(16));
    Soon context;
    Ok("Register", auth::AccountService::NewStub(channel)->Register(&context, request, &login));
    user_id_ = login.profile().user_id();
    authorization_ = "Bearer " + login.tokens().access_token();
  }

  int64_t user_id() const { return user_id_; }
  // The call is this person's.
  void Calls(grpc::ClientContext* context) const {
    context->AddMetadata("authorization", authorization_);
  }

 private:
  int64_t user_id_ = 0;
  std::string authorization_;
};

// Hears all that is said in one conversation, by the rules of examples/python: the next entry is
// taken, an older one dropped, and before a later one what lies between is loaded. Of one thread,
// but seq().
class Receiver {
 public:
  Receiver(Connect connect, const Person& person, int64_t conversation_id)
      : connect_(std::move(connect)), person_(person), conversation_id_(conversation_id) {}

  void Receive() {
    while (heard_.size() < kTotal) Listen();
  }
  int64_t seq() const { return seq_; }
  int cuts() const { return cuts_; }
  const std::vector<std::string>& heard() const { return heard_; }

 private:
  // Until all is heard, or the stream ends, or the connection is cut: once, with messages under
  // way.
  void Listen() {
    const std::shared_ptr<grpc::Channel> channel = connect_();
    const auto stub = gateway::GatewayService::NewStub(channel);
    grpc::ClientContext context;
    person_.Calls(&context);
    const auto stream = stub->Connect(&context);
    gateway::ConnectRequest hello;
    Have(hello.mutable_hello()->mutable_have());
    stream->Write(hello);
    auto beat = steady_clock::now();
    gateway::ConnectResponse response;
    while (stream->Read(&response)) {
      const gateway::ServerFrame& frame = response.frame();
      if (frame.has_welcome()) epoch_ = frame.welcome().epoch();
      if (frame.has_chat()) Hear(channel, frame.chat());
      if (frame.has_resync()) {
        gateway::ConnectRequest again;
        Have(again.mutable_have());
        stream->Write(again);
      }
      const bool cut = cuts_ == 0 && heard_.size() > kTotal / 3;
      if (cut) ++cuts_;
      if (cut || heard_.size() >= kTotal) {
        context.TryCancel();
        while (stream->Read(&response)) continue;
        stream->Finish();
        return;
      }
      if (steady_clock::now() - beat > kBeat) {
        gateway::ConnectRequest heartbeat;
        heartbeat.mutable_heartbeat();
        stream->Write(heartbeat);
        beat = steady_clock::now();
      }
    }
    Ok("the receiver's stream", stream->Finish());
  }

  void Have(chat::Have* have) const {
    have->set_epoch(epoch_);
    if (seq_ == 0) return;
    chat::HaveConversation* stay = have->add_conversations();
    stay->set_conversation_id(conversation_id_);
    stay->set_seq(seq_);
  }

  void Hear(const std::shared_ptr<grpc::Channel>& channel, const chat::Event& event) {
    if (event.has_gap()) {
      Load(channel, event.gap().to_seq());
    } else if (event.has_entry() && event.entry().conversation_id() == conversation_id_) {
      Load(channel, event.entry().seq() - 1);
      Take(event.entry());
    }
  }

  void Load(const std::shared_ptr<grpc::Channel>& channel, int64_t to_seq) {
    while (seq_ < to_seq) {
      chat::ListEntriesRequest request;
      chat::ListEntriesResponse page;
      request.set_conversation_id(conversation_id_);
      request.set_after_seq(seq_);
      request.set_to_seq(to_seq);
      request.set_page_size(200);
      Soon context;
      person_.Calls(&context);
      Ok("ListEntries",
         chat::MessageService::NewStub(channel)->ListEntries(&context, request, &page));
      Check(page.entries_size() > 0, "an empty page after " + std::to_string(seq_));
      for (const chat::Entry& entry : page.entries()) Take(entry);
    }
  }

  void Take(const chat::Entry& entry) {
    if (entry.seq() <= seq_) return;
    Equal("the next entry, or one was left out", entry.seq(), seq_ + 1);
    seq_ = entry.seq();
    if (entry.has_message()) heard_.push_back(entry.message().text().body());
  }

  const Connect connect_;
  const Person& person_;
  const int64_t conversation_id_;
  std::atomic<int64_t> seq_ = 0;
  int64_t epoch_ = 0;
  int cuts_ = 0;
  std::vector<std::string> heard_;
};

void SendAll(Connection& stub, const Person& person, int64_t conversation_id) {
  grpc::ClientContext context;
  person.Calls(&context);
  const auto stream = stub.Connect(&context);
  gateway::ConnectRequest hello;
  hello.mutable_hello();
  stream->Write(hello);
  int sent = 0;
  int answered = 0;
  const auto send = [&] {
    gateway::ConnectRequest request;
    request.set_call_id(++sent);
    chat::SendMessageRequest* message = request.mutable_send_message();
    message->set_conversation_id(conversation_id);
    message->set_request_id(Random(16));
    message->mutable_content()->mutable_text()->set_body(std::to_string(sent));
    stream->Write(request);
  };
  gateway::ConnectResponse response;
  while (answered < kTotal && stream->Read(&response)) {
    const gateway::ServerFrame& frame = response.frame();
    if (frame.has_welcome()) {
      while (sent < kInFlight) send();
    } else if (frame.has_answer()) {
      Check(frame.answer().has_send_message(), frame.answer().ShortDebugString());
      ++answered;
      if (sent < kTotal) send();
    }
  }
  context.TryCancel();
  while (stream->Read(&response)) continue;
  const grpc::Status status = stream->Finish();
  Equal("messages answered (" + status.error_message() + ")", answered, kTotal);
}

// The program does not wait for a thread that would never end, since another failed.
std::future<void> Start(std::function<void()> work) {
  return std::async(std::launch::async, [work = std::move(work)] {
    try {
      work();
    } catch (const std::exception& error) {
      Fail(error.what());
    }
  });
}

}  // namespace

void TenThousandEvents(const Connect& connect) {
  const std::shared_ptr<grpc::Channel> channel = connect();
  const Person ann(channel, "ann.");
  const Person bob(channel, "bob.");
  const auto contacts = chat::ContactService::NewStub(channel);
  {
    Soon context;
    ann.Calls(&context);
    chat::RequestContactRequest request;
    chat::RequestContactResponse response;
    request.set_user_id(bob.user_id());
    request.set_request_id(Random(16));
    request.set_greeting("me");
    Ok("RequestContact", contacts->RequestContact(&context, request, &response));
  }
  {
    Soon context;
    bob.Calls(&context);
    chat::AcceptContactRequest request;
    chat::AcceptContactResponse response;
    request.set_user_id(ann.user_id());
    request.set_request_id(Random(16));
    Ok("AcceptContact", contacts->AcceptContact(&context, request, &response));
  }
  Soon context;
  ann.Calls(&context);
  chat::OpenDirectRequest request;
  chat::OpenDirectResponse opened;
  request.set_user_id(bob.user_id());
  Ok("OpenDirect",
     chat::ConversationService::NewStub(channel)->OpenDirect(&context, request, &opened));
  const int64_t direct = opened.conversation().conversation_id();

  Receiver receiver(connect, bob, direct);
  const auto stub = gateway::GatewayService::NewStub(channel);
  std::future<void> both[] = {Start([&] { receiver.Receive(); }),
                              Start([&] { SendAll(*stub, ann, direct); })};
  const auto end = steady_clock::now() + kPatience;
  for (std::future<void>& one : both) {
    if (one.wait_until(end) != std::future_status::ready) {
      Fail("not within three minutes; heard up to seq " + std::to_string(receiver.seq()));
    }
  }
  Equal("cuts", receiver.cuts(), 1);
  for (int i = 0; i < kTotal; ++i) {
    Equal("the message heard", receiver.heard().at(i), std::to_string(i + 1));
  }
  Equal("messages heard", receiver.heard().size(), kTotal);
  Passed("10,000 events, each once and in order, with a cut in between");
}
