// Ten thousand sessions and a chat instance that is restarted under them.
#include <gmock/gmock.h>

#include "tests/gateway/fixture.h"

namespace im::gateway {
namespace {

using std::chrono::steady_clock;

// A device without a transport: counts what it is told.
class CountingSink : public Sink {
 public:
  bool Write(const Frame& frame) override {
    v1::ConnectResponse response;
    if (response.ParseFromArray(frame.slice().begin(), static_cast<int>(frame.size()))) {
      Count(response.frame());
    }
    return true;
  }
  void End(const grpc::Status&) override { ++ended; }
  void Read() override {}
  void Cut() override {}

  static std::atomic<int> caught_up, resyncs, ended, events;

 private:
  static void Count(const v1::ServerFrame& frame) {
    if (frame.has_caught_up()) ++caught_up;
    if (frame.has_resync()) ++resyncs;
    if (frame.has_session_end()) ++ended;
    if (frame.has_chat()) ++events;
  }
};
std::atomic<int> CountingSink::caught_up{0}, CountingSink::resyncs{0}, CountingSink::ended{0},
    CountingSink::events{0};

class ManySessionsTest : public GatewayTest {
 protected:
  static constexpr int kSessions = 10'000;

  void ConnectAll() {
    v1::ConnectRequest hello;
    hello.mutable_hello();
    for (int user = 1; user <= kSessions; ++user) {
      CallInfo call;
      call.path = "/im.gateway.v1.GatewayService/Connect";
      call.authorization = "Bearer " + std::to_string(user) + ":" + std::to_string(user);
      call.address = "unix";
      auto session = gateway_->Open(call, Front::Kind::kConnect, std::make_shared<CountingSink>());
      ASSERT_TRUE(session.ok()) << session.status();
      (*session)->OnFrame(hello.SerializeAsString());
      sessions_.push_back(*std::move(session));
    }
  }

  ~ManySessionsTest() override {
    for (const auto& session : sessions_) session->OnClosed();
    sessions_.clear();
  }

  std::vector<std::shared_ptr<SessionEvents>> sessions_;
};

TEST_F(ManySessionsTest, ARestartOfChatIsOneCatchUpAndNotTenThousand) {
  // The second catch-up, too, comes within the test.
  options_.link.catch_up_margin = milliseconds(1'000);
  Start();
  ConnectAll();
  Await([] { return CountingSink::caught_up == kSessions; });
  EXPECT_EQ(chat_->Count(pb::GatewayItem::kCall), kSessions);

  const auto stopped = steady_clock::now();
  chat_->Stop();
  chat_->Start();
  Await([&] { return chat_->Count(pb::GatewayItem::kOpen) == kSessions; });
  Await([&] { return chat_->Count(pb::GatewayItem::kCatchUp) == 2; });
  EXPECT_LT(steady_clock::now() - stopped, std::chrono::seconds(15));
  // One by the sessions' being registered, one for commits that were under way; no device had to
  // say anew what it has, or to come back.
  EXPECT_EQ(chat_->Count(pb::GatewayItem::kAnnounced), 1);
  EXPECT_EQ(chat_->Count(pb::GatewayItem::kCall), 0);
  EXPECT_EQ(CountingSink::resyncs, 0);
  EXPECT_EQ(CountingSink::ended, 0);
  // What it publishes then reaches them.
  std::vector<int64_t> all(kSessions);
  for (int user = 1; user <= kSessions; ++user) all[static_cast<size_t>(user - 1)] = user;
  chat_->Publish(all, ChatEvent(5, 1), {}, 5, 1);
  Await([] { return CountingSink::events == kSessions; });
  EXPECT_EQ(chat_->Count(pb::GatewayItem::kCatchUp), 2);
}

}  // namespace
}  // namespace im::gateway
