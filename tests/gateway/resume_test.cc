// Resumes, live events, slow readers and the two ways to hold a stream.
#include <thread>

#include "common/rpc/status.h"
#include "im/gateway/v1/gateway.grpc.pb.h"
#include "tests/gateway/fixture.h"

namespace im::gateway {
namespace {

class ResumeTest : public GatewayTest {
 protected:
  // A device whose resume chat has begun and not ended.
  std::unique_ptr<Device> Resuming(const std::string& token, const std::string& have = {}) {
    chat_->end_resumes = false;
    auto device = Connect(token, have);
    EXPECT_TRUE(device->Next().has_welcome());
    call_ = chat_->TakeCall();
    EXPECT_EQ(call_.frame(), 3);
    chat_->TakeOpen();
    return device;
  }
  uint64_t session() const { return call_.session(); }

  pb::SessionCall call_;
};

TEST_F(ResumeTest, PassesWhatTheDeviceHasOn) {
  Start();
  chat::v1::Have have;
  have.set_epoch(7);
  have.add_conversations()->set_conversation_id(5);
  auto alice = Resuming("1:10", have.SerializeAsString());
  EXPECT_EQ(call_.request(), have.SerializeAsString());
}

TEST_F(ResumeTest, DeliversThenCatchesUpThenTheHeldThenLive) {
  Start();
  auto alice = Resuming("1:10");
  chat_->Publish({1}, ChatEvent(5, 3), {}, 5, 3);
  chat_->Deliver(session(), ChatEvent(5, 1));
  chat_->Publish({1}, ChatEvent(5, 4), {}, 5, 4);
  chat_->Deliver(session(), ChatEvent(5, 2));
  chat_->EndResume(session(), 44);
  chat_->Publish({1}, ChatEvent(5, 5), {}, 5, 5);
  EXPECT_EQ(SeqOf(alice->Next()), 1);
  EXPECT_EQ(SeqOf(alice->Next()), 2);
  EXPECT_EQ(alice->Next().caught_up().own_log_position(), 44);
  EXPECT_EQ(SeqOf(alice->Next()), 3);
  EXPECT_EQ(SeqOf(alice->Next()), 4);
  EXPECT_EQ(SeqOf(alice->Next()), 5);
}

TEST_F(ResumeTest, HoldsWhatIsPublishedBeforeTheResumeBegins) {
  chat_->end_resumes = false;
  presence_->open_sessions = false;
  Start();
  auto alice = Connect("1:10");
  EXPECT_TRUE(alice->Next().has_welcome());
  const uint64_t number = chat_->TakeOpen().session();
  presence_->TakeOpen();
  chat_->Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  // Not before presence has it too.
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kCall));
  pb::ServiceItem opened;
  opened.mutable_opened()->set_session(number);
  presence_->Say(opened);
  EXPECT_EQ(chat_->TakeCall().frame(), 3);
  chat_->EndResume(number);
  EXPECT_TRUE(alice->Next().has_caught_up());
  EXPECT_EQ(SeqOf(alice->Next()), 1);
}

TEST_F(ResumeTest, IsNotHeldUpByAnInstanceThatBreaks) {
  presence_->open_sessions = false;
  Start();
  auto alice = Connect("1:10");
  EXPECT_TRUE(alice->Next().has_welcome());
  presence_->TakeOpen();
  presence_->Stop();
  EXPECT_TRUE(alice->Next().has_caught_up());
}

TEST_F(ResumeTest, ResyncsWhenTooMuchWasHeld) {
  options_.session.queue_bytes = 20'000;
  Start();
  auto alice = Resuming("1:10");
  chat_->Deliver(session(), ChatEvent(5, 1));
  for (int seq = 2; seq < 10; ++seq) chat_->Publish({1}, ChatEvent(5, seq, 4000), {}, 5, seq);
  chat_->EndResume(session(), 44);
  EXPECT_EQ(SeqOf(alice->Next()), 1);
  EXPECT_TRUE(alice->Next().has_resync());
  // And is live again.
  chat_->Publish({1}, ChatEvent(5, 10), {}, 5, 10);
  EXPECT_EQ(SeqOf(alice->Next()), 10);
  // Have again brings it about.
  v1::ConnectRequest have;
  have.mutable_have()->set_epoch(7);
  alice->Send(have);
  EXPECT_EQ(chat_->TakeCall().frame(), 3);
  chat_->EndResume(session(), 45);
  EXPECT_EQ(alice->Next().caught_up().own_log_position(), 45);
}

TEST_F(ResumeTest, AsksForTheNextPageWhenThereIsRoom) {
  options_.session.queue_bytes = 64 << 10;
  Start();
  auto alice = Resuming("1:10");
  chat_->EndPage(session());
  EXPECT_EQ(chat_->Take(pb::GatewayItem::kResumeMore).resume_more().session(), session());
  // More than HTTP/2's window and the queue together.
  for (int seq = 1; seq <= 20; ++seq) chat_->Deliver(session(), ChatEvent(5, seq, 100 << 10));
  chat_->EndPage(session());
  Await([&] { return gateway_->queued_bytes() > (1 << 20); });
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kResumeMore));
  for (int seq = 1; seq <= 20; ++seq) EXPECT_EQ(SeqOf(alice->Next()), seq);
  EXPECT_EQ(chat_->Take(pb::GatewayItem::kResumeMore).resume_more().session(), session());
}

TEST_F(ResumeTest, TakesHaveWhileOneRuns) {
  Start();
  auto alice = Resuming("1:10");
  v1::ConnectRequest have;
  have.mutable_have()->set_own_log_position(3);
  alice->Send(have);
  // A call comes to chat at once, so the Have before it has come to the gateway.
  alice->SendMessage(3, 77, "a");
  EXPECT_EQ(chat_->TakeCall().call_id(), 3U);
  chat_->Deliver(session(), ChatEvent(5, 1));
  chat_->EndPage(session());
  chat_->Take(pb::GatewayItem::kResumeMore);
  chat_->EndResume(session(), 1);
  // Only then the second begins, and only its end counts.
  EXPECT_EQ(chat_->TakeCall().request(), have.have().SerializeAsString());
  chat_->EndResume(session(), 2);
  EXPECT_EQ(SeqOf(alice->Next()), 1);
  EXPECT_EQ(alice->Next().caught_up().own_log_position(), 2);
}

TEST_F(ResumeTest, ResyncsAfterAWhileWhenItFails) {
  Start();
  auto alice = Resuming("1:10");
  chat_->Publish({1}, ChatEvent(5, 3), {}, 5, 3);
  chat_->FailResume(session(), Error(Reason::DATABASE_UNAVAILABLE));
  EXPECT_EQ(SeqOf(alice->Next()), 3);
  EXPECT_TRUE(alice->Next().has_resync());
}

TEST_F(ResumeTest, EndsWhoSendsAHaveThatIsNone) {
  Start();
  auto alice = Resuming("1:10");
  chat_->FailResume(session(), Error(Reason::MALFORMED_REQUEST));
  EXPECT_EQ(alice->Next().session_end().reason(), v1::SESSION_END_REASON_PROTOCOL_VIOLATION);
  EXPECT_EQ(ReasonOfEnd(alice->End()), Reason::MALFORMED_REQUEST);
}

TEST_F(ResumeTest, ResyncsWhenTheInstanceIsLost) {
  Start();
  auto alice = Resuming("1:10");
  chat_->Stop();
  EXPECT_TRUE(alice->Next().has_resync());
  v1::ConnectRequest have;
  have.mutable_have();
  alice->Send(have);
  chat_->end_resumes = true;
  chat_->Start();
  EXPECT_TRUE(alice->Next().has_caught_up());
}

TEST_F(ResumeTest, IgnoresWhatIsDeliveredWithoutAResume) {
  Start();
  uint64_t number = 0;
  auto alice = Live("1:10", &number);
  chat_->Deliver(number, ChatEvent(5, 1));
  chat_->EndPage(number);
  chat_->EndResume(number);
  chat_->Deliver(number + 100, ChatEvent(5, 1));
  chat_->Publish({1}, ChatEvent(5, 2), {}, 5, 2);
  EXPECT_EQ(SeqOf(alice->Next()), 2);
}

TEST_F(ResumeTest, ASlowReaderCostsItsQueueAndIsToldToResync) {
  options_.session.queue_bytes = 64 << 10;
  Start();
  auto slow = Live("1:10");
  auto fast = Live("2:20");
  constexpr int kEvents = 100;
  for (int seq = 1; seq <= kEvents; ++seq) {
    chat_->Publish({1, 2}, ChatEvent(5, seq, 20'000), {}, 5, seq);
    EXPECT_EQ(SeqOf(fast->Next()), seq);
    // The fast one's may still be on its way out.
    EXPECT_LE(gateway_->queued_bytes(), (64u << 10) + 21'000);
  }
  int64_t last = 0;
  bool resync = false;
  while (!resync) {
    const v1::ServerFrame frame = slow->Next();
    ASSERT_NE(frame.frame_case(), v1::ServerFrame::FRAME_NOT_SET);
    resync = frame.has_resync();
    if (!resync) {
      // What came before is whole.
      EXPECT_EQ(SeqOf(frame), last + 1);
      last = SeqOf(frame);
    }
  }
  EXPECT_LT(last, kEvents);
}

TEST_F(ResumeTest, TakesWhatAServicePutsIntoOneMessage) {
  Start();
  auto alice = Live("1:10");
  // As large as a service makes them.
  pb::AttachResponse batch;
  int64_t seq = 0;
  while (batch.ByteSizeLong() < 128 << 10) {
    auto* publication = batch.add_items()->mutable_publication();
    publication->add_user_ids(1);
    publication->set_event(ChatEvent(5, ++seq, 100));
  }
  chat_->SayAll(batch);
  for (int64_t next = 1; next <= seq; ++next) EXPECT_EQ(SeqOf(alice->Next()), next);
}

TEST_F(ResumeTest, AnswersAreKeptWhenEventsAreDropped) {
  options_.session.queue_bytes = 16 << 10;
  Start();
  auto alice = Live("1:10");
  alice->SendMessage(3, 77, "a");
  const pb::SessionCall call = chat_->TakeCall();
  for (int seq = 1; seq <= 60; ++seq) chat_->Publish({1}, ChatEvent(5, seq, 8'000), {}, 5, seq);
  chat_->Answer(call, "");
  for (int seq = 61; seq <= 90; ++seq) chat_->Publish({1}, ChatEvent(5, seq, 8'000), {}, 5, seq);
  EXPECT_EQ(alice->NextOf(v1::ServerFrame::kAnswer).answer().call_id(), 3u);
}

TEST_F(ResumeTest, PresenceThatWasDroppedIsAskedForAgain) {
  options_.session.queue_bytes = 16 << 10;
  Start();
  uint64_t number = 0;
  auto alice = Live("1:10", &number);
  presence::v1::Event event;
  event.add_presences()->set_user_id(9);
  // Fills HTTP/2's window, then the queue, with an event of presence among them.
  for (int seq = 1; seq <= 90; ++seq) {
    chat_->Publish({1}, ChatEvent(5, seq, 8'000), {}, 5, seq);
    if (seq == 80) presence_->Publish({1}, event.SerializeAsString(), "presence/9");
  }
  alice->NextOf(v1::ServerFrame::kResync);
  // The rest is read, and then presence is told to begin anew.
  std::thread reader([&] {
    while (alice->NextBytes()) {
    }
  });
  EXPECT_EQ(presence_->TakeOpen().session(), number);
  Revoke(10);
  reader.join();
}

TEST_F(ResumeTest, AllReceiversShareTheSameBytes) {
  Start();
  auto alice = Live("1:10");
  auto bob = Live("2:20");
  auto carol = std::make_unique<Device>(Channel(), "3:30", "Subscribe");
  v1::SubscribeRequest subscribe;
  subscribe.mutable_hello();
  carol->SendBytes(subscribe.SerializeAsString());
  EXPECT_TRUE(carol->Next().has_welcome());
  EXPECT_TRUE(carol->Next().has_caught_up());
  const std::string event = ChatEvent(5, 1, 100);
  chat_->Publish({1, 2, 3}, event, {}, 5, 1);
  const auto bytes = alice->NextBytes();
  EXPECT_EQ(bytes, bob->NextBytes());
  EXPECT_EQ(bytes, carol->NextBytes());
  v1::ConnectResponse expected;
  ASSERT_TRUE(expected.mutable_frame()->mutable_chat()->ParseFromString(event));
  EXPECT_EQ(*bytes, expected.SerializeAsString());
}

TEST_F(ResumeTest, LeavesTheSendersSessionOut) {
  Start();
  uint64_t number = 0;
  auto alice = Live("1:10", &number);
  auto tablet = Live("1:11");
  pb::ServiceItem item;
  item.mutable_publication()->add_user_ids(1);
  item.mutable_publication()->set_except_session(number);
  item.mutable_publication()->set_event(ChatEvent(5, 1));
  chat_->Say(item);
  chat_->Publish({1}, ChatEvent(5, 2), {}, 5, 2);
  EXPECT_EQ(SeqOf(tablet->Next()), 1);
  EXPECT_EQ(SeqOf(alice->Next()), 2);
}

class SubscribeTest : public ResumeTest {
 protected:
  std::unique_ptr<Device> Subscribe(const std::string& token) {
    auto device = std::make_unique<Device>(Channel(), token, "Subscribe");
    v1::SubscribeRequest request;
    request.mutable_hello()->set_status(presence::v1::STATUS_BUSY);
    device->SendBytes(request.SerializeAsString());
    const v1::ServerFrame welcome = device->Next();
    EXPECT_TRUE(welcome.has_welcome());
    session_id_ = welcome.welcome().session_id();
    EXPECT_TRUE(device->Next().has_caught_up());
    EXPECT_EQ(chat_->TakeCall().frame(), 3);
    return device;
  }
  absl::Status Sync(const std::string& token, const v1::SyncDeviceRequest& request) {
    const auto stub = v1::GatewayService::NewStub(Channel());
    grpc::ClientContext context;
    context.AddMetadata(rpc::kAuthorizationKey, "Bearer " + token);
    return rpc::FromGrpc(stub->SyncDevice(&context, request, &response_));
  }

  std::string session_id_;
  v1::SyncDeviceResponse response_;
};

TEST_F(SubscribeTest, CarriesEvents) {
  Start();
  auto alice = Subscribe("1:10");
  EXPECT_EQ(presence_->TakeOpen().status(), presence::v1::STATUS_BUSY);
  chat_->Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  EXPECT_EQ(SeqOf(alice->Next()), 1);
}

TEST_F(SubscribeTest, IsSpokenToBySyncDevice) {
  Start();
  auto alice = Subscribe("1:10:30");
  v1::SyncDeviceRequest request;
  request.set_session_id(session_id_);
  request.mutable_have()->set_own_log_position(4);
  EXPECT_TRUE(Sync("1:10:3000", request).ok());
  EXPECT_GT(response_.token_expires_at().seconds(), time(nullptr) + 2000);
  EXPECT_EQ(chat_->Take(pb::GatewayItem::kRenew).renew().access_token(), "1:10:3000");
  EXPECT_EQ(chat_->TakeCall().request(), request.have().SerializeAsString());
  EXPECT_TRUE(alice->Next().has_caught_up());
  // Without Have: a sign of life only.
  request.clear_have();
  EXPECT_TRUE(Sync("1:10:3000", request).ok());
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kCall));
}

TEST_F(SubscribeTest, OtherDevicesCannotSpeakToIt) {
  Start();
  auto alice = Subscribe("1:10");
  v1::SyncDeviceRequest request;
  request.set_session_id(session_id_);
  EXPECT_EQ(ReasonOfEnd(Sync("1:11", request)), Reason::SESSION_NOT_FOUND);
  EXPECT_EQ(ReasonOfEnd(Sync("2:20", request)), Reason::SESSION_NOT_FOUND);
  EXPECT_EQ(ReasonOfEnd(Sync("nonsense", request)), Reason::TOKEN_INVALID);
  request.set_session_id("another");
  EXPECT_EQ(ReasonOfEnd(Sync("1:10", request)), Reason::SESSION_NOT_FOUND);
}

TEST_F(SubscribeTest, TimesOutWithoutSyncDevice) {
  options_.session.heartbeat = milliseconds(40);
  Start();
  auto alice = Subscribe("1:10");
  EXPECT_EQ(alice->Next().session_end().reason(), v1::SESSION_END_REASON_TIMED_OUT);
}

TEST_F(SubscribeTest, RefusesGarbage) {
  Start();
  Device alice(Channel(), "1:10", "Subscribe");
  alice.SendBytes("\xff\xff");
  EXPECT_EQ(ReasonOfEnd(alice.End()), Reason::PROTOCOL_VIOLATION);
}

}  // namespace
}  // namespace im::gateway
