// The life of a stream: Hello, Welcome, frames, and all the ways it ends.
#include <thread>

#include "tests/gateway/fixture.h"

namespace im::gateway {
namespace {

class SessionTest : public GatewayTest {
 protected:
  // What the device is told at the end, after whatever comes before.
  static v1::SessionEnd EndOf(Device* device) {
    return device->NextOf(v1::ServerFrame::kSessionEnd).session_end();
  }
};

TEST_F(SessionTest, WelcomesThenCatchesUpThenIsLive) {
  Start();
  auto alice = Connect("1:10");
  const v1::ServerFrame welcome = alice->Next();
  ASSERT_TRUE(welcome.has_welcome());
  EXPECT_EQ(welcome.welcome().epoch(), 7);
  EXPECT_EQ(welcome.welcome().user_id(), 1);
  EXPECT_EQ(welcome.welcome().device_id(), 10);
  EXPECT_EQ(welcome.welcome().heartbeat_interval().seconds(), 20);
  EXPECT_EQ(welcome.welcome().max_frame_bytes(), 512 << 10);
  EXPECT_FALSE(welcome.welcome().session_id().empty());
  EXPECT_TRUE(alice->Next().has_caught_up());
  const pb::OpenSession open = presence_->TakeOpen();
  EXPECT_EQ(open.access_token(), "1:10");
  EXPECT_TRUE(open.primary());
  chat_->Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  EXPECT_EQ(SeqOf(alice->Next()), 1);
}

TEST_F(SessionTest, PassesCallsOnAndAnswersBack) {
  Start();
  uint64_t number = 0;
  auto alice = Live("1:10", &number);
  alice->SendMessage(3, 77, "0123456789abcdef");
  const pb::SessionCall call = chat_->TakeCall();
  EXPECT_EQ(call.session(), number);
  EXPECT_EQ(call.frame(), 10);
  EXPECT_FALSE(call.trace_id().empty());
  chat::v1::SendMessageRequest request;
  ASSERT_TRUE(request.ParseFromString(call.request()));
  EXPECT_EQ(request.conversation_id(), 77);
  chat::v1::SendMessageResponse response;
  response.set_seq(9);
  chat_->Answer(call, response.SerializeAsString());
  const v1::ServerFrame answer = alice->Next();
  EXPECT_EQ(answer.answer().call_id(), 3u);
  EXPECT_EQ(answer.answer().send_message().seq(), 9);

  v1::ConnectRequest status;
  status.set_call_id(4);
  status.mutable_set_status()->set_status(presence::v1::STATUS_AWAY);
  alice->Send(status);
  presence_->Answer(presence_->TakeCall(), "");
  EXPECT_TRUE(alice->Next().answer().has_set_status());
}

TEST_F(SessionTest, NeedsAToken) {
  Start();
  EXPECT_EQ(ReasonOfEnd(Device(Channel(), "").End()), Reason::TOKEN_MISSING);
  EXPECT_EQ(ReasonOfEnd(Device(Channel(), "nonsense").End()), Reason::TOKEN_INVALID);
  EXPECT_EQ(ReasonOfEnd(Device(Channel(), "1:10:-1").End()), Reason::TOKEN_EXPIRED);
}

TEST_F(SessionTest, RefusesAHelloWithAStatusThatNoDeviceHas) {
  Start();
  for (const int status : {1, 6, -1}) {
    Device alice(Channel(), "1:10");
    v1::ConnectRequest hello;
    hello.mutable_hello()->set_status(static_cast<presence::v1::Status>(status));
    alice.Send(hello);
    EXPECT_EQ(ReasonOfEnd(alice.End()), Reason::STATUS_INVALID) << status;
  }
}

TEST_F(SessionTest, RefusesWithoutHelloInTime) {
  options_.session.hello_timeout = milliseconds(30);
  Start();
  EXPECT_EQ(ReasonOfEnd(Device(Channel(), "1:10").End()), Reason::PROTOCOL_VIOLATION);
}

TEST_F(SessionTest, RefusesAnotherFirstFrame) {
  Start();
  Device alice(Channel(), "1:10");
  v1::ConnectRequest frame;
  frame.mutable_heartbeat();
  alice.Send(frame);
  EXPECT_EQ(ReasonOfEnd(alice.End()), Reason::PROTOCOL_VIOLATION);
}

TEST_F(SessionTest, EndsOnASecondHello) {
  Start();
  auto alice = Live("1:10");
  alice->Hello();
  EXPECT_EQ(EndOf(alice.get()).reason(), v1::SESSION_END_REASON_PROTOCOL_VIOLATION);
  EXPECT_EQ(ReasonOfEnd(alice->End()), Reason::PROTOCOL_VIOLATION);
  EXPECT_FALSE(chat_->Take(pb::GatewayItem::kClose).close().returning());
}

TEST_F(SessionTest, EndsOnGarbageAndNobodyElseDoes) {
  Start();
  auto bob = Live("2:20");
  auto alice = Live("1:10");
  alice->SendBytes("\xff\xff\xff\xff garbage");
  const v1::SessionEnd end = EndOf(alice.get());
  EXPECT_EQ(end.reason(), v1::SESSION_END_REASON_PROTOCOL_VIOLATION);
  EXPECT_FALSE(end.has_reconnect_after());
  Device mallory(Channel(), "3:30");
  mallory.SendBytes("\xff\xff");
  EXPECT_EQ(ReasonOfEnd(mallory.End()), Reason::PROTOCOL_VIOLATION);
  chat_->Publish({1, 2, 3}, ChatEvent(5, 1), {}, 5, 1);
  EXPECT_EQ(SeqOf(bob->Next()), 1);
}

TEST_F(SessionTest, LeavesABrokenSubmessageToTheService) {
  Start();
  auto alice = Live("1:10");
  // call_id 6; send_message of three bytes that are no message.
  alice->SendBytes(std::string("\x08\x06\x52\x03\xff\xff\xff", 7));
  const pb::SessionCall call = chat_->TakeCall();
  EXPECT_EQ(call.frame(), 10);
  EXPECT_EQ(call.request(), "\xff\xff\xff");
}

TEST_F(SessionTest, PassesOnFramesOfALaterVersion) {
  Start();
  auto alice = Live("1:10");
  // call_id 6; field 17.
  alice->SendBytes(std::string("\x08\x06\x8a\x01\x02hi", 7));
  const pb::SessionCall call = chat_->TakeCall();
  EXPECT_EQ(call.frame(), 17);
  chat_->Answer(call, "yo");
  const v1::ServerFrame answer = alice->Next();
  EXPECT_EQ(answer.answer().call_id(), 6u);
}

TEST_F(SessionTest, AnswersFramesThatNobodyKnows) {
  Start();
  auto alice = Live("1:10");
  // Field 99, without and with call_id 6: the first is passed over.
  alice->SendBytes(std::string("\x9a\x06\x02hi", 5));
  alice->SendBytes(std::string("\x08\x06\x9a\x06\x02hi", 7));
  const v1::ServerFrame answer = alice->Next();
  EXPECT_EQ(answer.answer().call_id(), 6u);
  EXPECT_EQ(ReasonOf(answer), Reason::UNKNOWN_METHOD);
}

TEST_F(SessionTest, RefusesWhatIsTooLargeAndGoesOn) {
  options_.session.max_frame_bytes = 32 << 10;
  Start();
  auto alice = Live("1:10");
  alice->SendMessage(3, 77, std::string(33 << 10, 'x'));
  EXPECT_EQ(ReasonOf(alice->Next()), Reason::REQUEST_TOO_LARGE);
  alice->SendMessage(4, 77, "fits");
  EXPECT_EQ(chat_->TakeCall().call_id(), 4u);
  // Not even read.
  alice->SendMessage(5, 77, std::string(200 << 10, 'x'));
  EXPECT_EQ(alice->End().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SessionTest, SendsHeartbeatsAndExpectsThem) {
  options_.session.heartbeat = milliseconds(40);
  Start();
  auto alice = Live("1:10");
  v1::ConnectResponse response;
  ASSERT_TRUE(response.ParseFromString(*alice->NextBytes()));
  EXPECT_TRUE(response.frame().has_heartbeat());
  const v1::SessionEnd end = EndOf(alice.get());
  EXPECT_EQ(end.reason(), v1::SESSION_END_REASON_TIMED_OUT);
  EXPECT_TRUE(end.has_reconnect_after());
  EXPECT_TRUE(alice->End().ok());
}

TEST_F(SessionTest, LivesAsLongAsItGivesSignsOfLife) {
  options_.session.heartbeat = milliseconds(60);
  Start();
  auto alice = Live("1:10");
  v1::ConnectRequest heartbeat;
  heartbeat.mutable_heartbeat();
  // Ten of the server's, one each 60 ms or more: longer than three intervals.
  for (int i = 0; i < 10; ++i) {
    v1::ConnectResponse response;
    ASSERT_TRUE(response.ParseFromString(*alice->NextBytes()));
    ASSERT_TRUE(response.frame().has_heartbeat());
    alice->Send(heartbeat);
  }
}

TEST_F(SessionTest, EndsWhenTheTokenExpires) {
  Start();
  auto alice = Live("1:10:1");
  const v1::SessionEnd end = EndOf(alice.get());
  EXPECT_EQ(end.reason(), v1::SESSION_END_REASON_TOKEN_EXPIRED);
  EXPECT_TRUE(end.has_reconnect_after());
}

TEST_F(SessionTest, TakesANewTokenInBand) {
  Start();
  auto alice = Live("1:10:1");
  v1::ConnectRequest refresh;
  refresh.set_call_id(8);
  refresh.mutable_refresh_token()->set_access_token("1:10:900");
  alice->Send(refresh);
  const v1::ServerFrame answer = alice->Next();
  EXPECT_EQ(answer.answer().call_id(), 8u);
  EXPECT_GT(answer.answer().refresh_token().token_expires_at().seconds(), time(nullptr) + 800);
  EXPECT_EQ(chat_->Take(pb::GatewayItem::kRenew).renew().access_token(), "1:10:900");
  EXPECT_EQ(presence_->Take(pb::GatewayItem::kRenew).renew().access_token(), "1:10:900");
  // Longer than the first token lived.
  const auto past = std::chrono::steady_clock::now() + milliseconds(1100);
  Await([&] { return std::chrono::steady_clock::now() > past; });
  chat_->Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  EXPECT_EQ(SeqOf(alice->Next()), 1);
}

TEST_F(SessionTest, RefusesForeignAndBadTokensInBand) {
  Start();
  auto alice = Live("1:10");
  v1::ConnectRequest refresh;
  refresh.set_call_id(8);
  for (const std::string token : {"1:11", "nonsense"}) {
    refresh.mutable_refresh_token()->set_access_token(token);
    alice->Send(refresh);
    EXPECT_EQ(ReasonOf(alice->Next()), Reason::TOKEN_INVALID);
  }
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kRenew));
}

TEST_F(SessionTest, EndsARevokedDevice) {
  Start();
  auto alice = Live("1:10");
  Revoke(10);
  const v1::SessionEnd end = EndOf(alice.get());
  EXPECT_EQ(end.reason(), v1::SESSION_END_REASON_DEVICE_REVOKED);
  EXPECT_FALSE(end.has_reconnect_after());
  EXPECT_TRUE(alice->End().ok());
}

TEST_F(SessionTest, EndsADeviceRevokedBeforeItWasRegistered) {
  Start();
  Device alice(Channel(), "1:10");
  Await([&] { return gateway_->hub().epoch() != 0; });
  Revoke(10);
  alice.Hello();
  EXPECT_EQ(EndOf(&alice).reason(), v1::SESSION_END_REASON_DEVICE_REVOKED);
}

TEST_F(SessionTest, EndsWhenAServiceSaysRevoked) {
  chat_->open_sessions = false;
  Start();
  auto alice = Connect("1:10");
  pb::ServiceItem refused;
  refused.mutable_refused()->set_session(chat_->TakeOpen().session());
  refused.mutable_refused()->mutable_failure()->set_reason("DEVICE_REVOKED");
  chat_->Say(refused);
  EXPECT_EQ(EndOf(alice.get()).reason(), v1::SESSION_END_REASON_DEVICE_REVOKED);
}

TEST_F(SessionTest, AsksAgainWhenAServiceIsNotReady) {
  chat_->open_sessions = false;
  Start();
  auto alice = Connect("1:10");
  pb::ServiceItem refused;
  refused.mutable_refused()->set_session(chat_->TakeOpen().session());
  refused.mutable_refused()->mutable_failure()->set_reason("SERVICE_UNAVAILABLE");
  chat_->open_sessions = true;
  chat_->Say(refused);
  EXPECT_TRUE(alice->NextOf(v1::ServerFrame::kCaughtUp).has_caught_up());
}

TEST_F(SessionTest, ReplacesTheStreamOfTheSameDevice) {
  Start();
  auto first = Live("1:10");
  auto second = Live("1:10");
  const v1::SessionEnd end = EndOf(first.get());
  EXPECT_EQ(end.reason(), v1::SESSION_END_REASON_REPLACED);
  EXPECT_FALSE(end.has_reconnect_after());
  EXPECT_TRUE(presence_->Take(pb::GatewayItem::kClose).close().returning());
  EXPECT_EQ(gateway_->sessions(), 1u);
  chat_->Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  EXPECT_EQ(SeqOf(second->Next()), 1);
}

TEST_F(SessionTest, LimitsStreamsPerAccountAndInAll) {
  options_.session.streams_per_account = 2;
  options_.session.max_streams = 3;
  Start();
  auto first = Live("1:10");
  auto second = Live("1:11");
  const absl::Status status = Connect("1:12")->End();
  EXPECT_EQ(ReasonOfEnd(status), Reason::TOO_MANY_STREAMS);
  EXPECT_TRUE(DetailsOf(status).retry_after.has_value());
  auto bob = Live("2:20");
  EXPECT_EQ(ReasonOfEnd(Connect("3:30")->End()), Reason::OVERLOADED);
  // The same device again is no further stream.
  auto again = Live("1:11");
}

TEST_F(SessionTest, EndsAllWhenTheEpochChanges) {
  Start();
  auto alice = Live("1:10");
  auto bob = Live("2:20");
  chat_->SayHello(8);
  for (Device* device : {alice.get(), bob.get()}) {
    const v1::SessionEnd end = EndOf(device);
    EXPECT_EQ(end.reason(), v1::SESSION_END_REASON_EPOCH_CHANGED);
    EXPECT_TRUE(end.has_reconnect_after());
  }
  auto again = Connect("1:10");
  EXPECT_EQ(again->Next().welcome().epoch(), 8);
}

TEST_F(SessionTest, UnavailableWhileNoChatIsThere) {
  options_.session.epoch_wait = milliseconds(50);
  auth_->Start();
  presence_->Start();
  StartGateway();
  const absl::Status status = Connect("1:10")->End();
  EXPECT_EQ(ReasonOfEnd(status), Reason::SERVICE_UNAVAILABLE);
  EXPECT_TRUE(DetailsOf(status).retry_after.has_value());
}

TEST_F(SessionTest, WaitsForChatToCome) {
  auth_->Start();
  presence_->Start();
  StartGateway();
  auto alice = Connect("1:10");
  chat_->Start();
  EXPECT_TRUE(alice->Next().has_welcome());
  EXPECT_TRUE(alice->Next().has_caught_up());
}

TEST_F(SessionTest, TellsWhetherADeviceComesBack) {
  Start();
  auto alice = Live("1:10");
  alice->Cut();
  EXPECT_FALSE(presence_->Take(pb::GatewayItem::kClose).close().returning());
  EXPECT_FALSE(chat_->Take(pb::GatewayItem::kClose).close().returning());
  Await([&] { return gateway_->sessions() == 0; });
}

TEST_F(SessionTest, DrainsOnShutdown) {
  Start();
  auto alice = Live("1:10");
  auto bob = Live("2:20");
  server_->Drain();
  std::thread drain([&] { gateway_->Drain(std::chrono::seconds(20)); });
  for (Device* device : {alice.get(), bob.get()}) {
    const v1::SessionEnd end = EndOf(device);
    EXPECT_EQ(end.reason(), v1::SESSION_END_REASON_RECONNECT);
    EXPECT_TRUE(end.has_reconnect_after());
    EXPECT_LE(end.reconnect_after().seconds(), 5);
    EXPECT_TRUE(device->End().ok());
    EXPECT_TRUE(presence_->Take(pb::GatewayItem::kClose).close().returning());
  }
  drain.join();
  EXPECT_EQ(ReasonOfEnd(Connect("3:30")->End()), Reason::SHUTTING_DOWN);
}

TEST_F(SessionTest, DoesNotWaitForThoseWhoDoNotRead) {
  options_.session.linger = milliseconds(20);
  Start();
  auto alice = Live("1:10");
  // More than HTTP/2's window takes, so that the end cannot be written.
  for (int seq = 1; seq <= 40; ++seq) {
    chat_->Publish({1}, ChatEvent(5, seq, 200 << 10), {}, 5, seq);
  }
  Await([&] { return gateway_->queued_bytes() > 0; });
  gateway_->Drain(std::chrono::seconds(20));
  EXPECT_EQ(gateway_->sessions(), 0u);
}

}  // namespace
}  // namespace im::gateway
