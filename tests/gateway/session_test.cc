// The life of a stream: Hello, Welcome, CaughtUp, live, and all the ways it ends.
#include "tests/gateway/fixture.h"

namespace im::gateway {
namespace {

using SessionTest = GatewayTest;

TEST_F(SessionTest, WelcomesThenCatchesUpThenIsLive) {
  Start();
  auto alice = Connect("1:10");
  const v1::ServerFrame welcome = alice->Next();
  ASSERT_TRUE(welcome.has_welcome());
  EXPECT_EQ(welcome.welcome().epoch(), 7);
  EXPECT_EQ(welcome.welcome().user_id(), 1);
  EXPECT_EQ(welcome.welcome().device_id(), 10);
  EXPECT_EQ(welcome.welcome().heartbeat_interval().seconds(), 20);
  EXPECT_FALSE(welcome.welcome().session_id().empty());
  EXPECT_TRUE(alice->Next().has_caught_up());
  EXPECT_EQ(presence_->TakeOpen().access_token(), "1:10");
  chat_->Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  EXPECT_EQ(SeqOf(alice->Next()), 1);
}

TEST_F(SessionTest, AnswersSend) {
  Start();
  auto alice = Live("1:10");
  alice->SendMessage(3, 77, "0123456789abcdef");
  const pb::SessionCall call = chat_->TakeCall();
  EXPECT_EQ(call.frame(), 10);
  chat::v1::SendMessageRequest request;
  ASSERT_TRUE(request.ParseFromString(call.request()));
  EXPECT_EQ(request.conversation_id(), 77);
  chat::v1::SendMessageResponse response;
  response.set_seq(9);
  chat_->Answer(call, response.SerializeAsString());
  const v1::ServerFrame answer = alice->Next();
  EXPECT_EQ(answer.answer().call_id(), 3u);
  EXPECT_EQ(answer.answer().send_message().seq(), 9);
}

}  // namespace
}  // namespace im::gateway
