// Links that break, come back and catch up; several instances of chat.
#include <google/protobuf/util/time_util.h>

#include <thread>

#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/bus/lane.h"
#include "common/rpc/status.h"
#include "tests/gateway/fixture.h"

namespace im::gateway {
namespace {

using google::protobuf::util::TimeUtil;

using LinksTest = GatewayTest;

TEST_F(LinksTest, OpensSessionsAgainAndCatchesUp) {
  options_.link.catch_up_margin = milliseconds(300);
  Start();
  uint64_t number = 0;
  auto alice = Live("1:10", &number);
  const int64_t before = time(nullptr);
  chat_->Stop();
  chat_->open_sessions = false;
  chat_->Start();
  const pb::OpenSession open = chat_->TakeOpen();
  EXPECT_EQ(open.session(), number);
  EXPECT_EQ(open.access_token(), "1:10");
  chat_->Take(pb::GatewayItem::kAnnounced);
  // Not before the session is registered.
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kCatchUp));
  pb::ServiceItem opened;
  opened.mutable_opened()->set_session(number);
  chat_->Say(opened);
  const pb::CatchUp first = chat_->Take(pb::GatewayItem::kCatchUp).catch_up();
  EXPECT_GE(TimeUtil::TimestampToSeconds(first.since()), before - 10);
  EXPECT_LE(TimeUtil::TimestampToSeconds(first.since()), time(nullptr));
  // Once more, for commits that were under way.
  const pb::CatchUp second = chat_->Take(pb::GatewayItem::kCatchUp).catch_up();
  EXPECT_EQ(TimeUtil::TimestampToMilliseconds(first.since()),
            TimeUtil::TimestampToMilliseconds(second.since()));
  // No second resume: what was missed comes by the catch-up.
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kCall));
  chat_->Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  EXPECT_EQ(SeqOf(alice->Next()), 1);
}

TEST_F(LinksTest, AsksAgainWhenACatchUpWasNotComplete) {
  Start();
  auto alice = Live("1:10");
  chat_->Stop();
  chat_->Start();
  const pb::CatchUp first = chat_->Take(pb::GatewayItem::kCatchUp).catch_up();
  pb::ServiceItem done;
  done.mutable_catch_up_done()->set_complete(false);
  chat_->Say(done);
  const pb::CatchUp second = chat_->Take(pb::GatewayItem::kCatchUp).catch_up();
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
}

TEST_F(LinksTest, DoesNotCatchUpForNobody) {
  Start();
  chat_->Stop();
  chat_->Start();
  chat_->Take(pb::GatewayItem::kAnnounced);
  auto alice = Live("1:10");
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kCatchUp));
}

TEST_F(LinksTest, DropsWhatWasPassedOnAndNothingElse) {
  Start();
  auto alice = Live("1:10");
  auto bob = Live("2:20");
  chat_->Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  chat_->Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  chat_->Publish({1}, ChatEvent(6, 1), {}, 6, 1);
  // The same entry for others: a large audience comes in parts.
  chat_->Publish({2}, ChatEvent(5, 1), {}, 5, 1);
  // What is no entry has no place to be known by.
  chat_->Publish({1}, ChatEvent(5, 50));
  chat_->Publish({1}, ChatEvent(5, 50));
  EXPECT_EQ(alice->Next().chat().entry().conversation_id(), 5);
  EXPECT_EQ(alice->Next().chat().entry().conversation_id(), 6);
  EXPECT_EQ(SeqOf(alice->Next()), 50);
  EXPECT_EQ(SeqOf(alice->Next()), 50);
  EXPECT_EQ(SeqOf(bob->Next()), 1);
}

TEST_F(LinksTest, AnswersCallsOfAnInstanceThatIsLost) {
  Start();
  auto alice = Live("1:10");
  alice->SendMessage(3, 77, "a");
  chat_->TakeCall();
  v1::ConnectRequest read;
  read.set_call_id(4);
  read.mutable_mark_read()->set_conversation_id(77);
  alice->Send(read);
  chat_->TakeCall();
  chat_->Stop();
  const v1::ServerFrame send = alice->Next();
  EXPECT_EQ(send.answer().call_id(), 3u);
  EXPECT_EQ(ReasonOf(send), Reason::OUTCOME_UNKNOWN);
  const v1::ServerFrame mark = alice->Next();
  EXPECT_EQ(mark.answer().call_id(), 4u);
  EXPECT_EQ(ReasonOf(mark), Reason::SERVICE_UNAVAILABLE);
}

TEST_F(LinksTest, CallsWaitForAnInstanceToComeBackInOrder) {
  options_.session.call_wait = std::chrono::seconds(15);
  Start();
  auto alice = Live("1:10");
  chat_->Stop();
  Await([&] { return !gateway_->Healthy(); });
  for (uint64_t call_id = 1; call_id <= 5; ++call_id) alice->SendMessage(call_id, call_id, "a");
  chat_->Start();
  for (uint64_t call_id = 1; call_id <= 5; ++call_id) {
    const pb::SessionCall call = chat_->TakeCall();
    EXPECT_EQ(call.call_id(), call_id);
    chat_->Answer(call, "");
    EXPECT_EQ(alice->Next().answer().call_id(), call_id);
  }
}

TEST_F(LinksTest, CallsDoNotWaitForLong) {
  options_.session.call_wait = milliseconds(30);
  Start();
  auto alice = Live("1:10");
  chat_->Stop();
  Await([&] { return !gateway_->Healthy(); });
  alice->SendMessage(3, 77, "a");
  const v1::ServerFrame answer = alice->Next();
  EXPECT_EQ(ReasonOf(answer), Reason::SERVICE_UNAVAILABLE);
  EXPECT_TRUE(answer.answer().failure().has_retry_after());
}

TEST_F(LinksTest, CutsALinkThatIsSilent) {
  options_.link.silence = milliseconds(500);
  Start();
  auto alice = Live("1:10");
  const int links = chat_->links();
  chat_->silent = true;
  chat_->AwaitLink(links + 1);
  chat_->silent = false;
  EXPECT_EQ(chat_->TakeOpen().access_token(), "1:10");
}

TEST_F(LinksTest, KeepsTheStatusOfADeviceWhenPresenceRestarts) {
  Start();
  auto alice = Live("1:10");
  v1::ConnectRequest status;
  status.set_call_id(4);
  status.mutable_set_status()->set_status(presence::v1::STATUS_BUSY);
  alice->Send(status);
  presence_->Answer(presence_->TakeCall(), "");
  EXPECT_TRUE(alice->Next().answer().has_set_status());
  presence_->Stop();
  presence_->Start();
  EXPECT_EQ(presence_->TakeOpen().status(), presence::v1::STATUS_BUSY);
}

TEST_F(LinksTest, PausesADeviceThatCallsFasterThanItIsAnswered) {
  options_.session.calls_in_flight = 4;
  Start();
  auto alice = Live("1:10");
  std::vector<pb::SessionCall> calls;
  for (uint64_t call_id = 1; call_id <= 20; ++call_id) alice->SendMessage(call_id, 77, "a");
  for (int i = 0; i < 4; ++i) calls.push_back(chat_->TakeCall());
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kCall));
  for (uint64_t call_id = 1; call_id <= 20; ++call_id) {
    if (calls.size() < call_id) calls.push_back(chat_->TakeCall());
    chat_->Answer(calls[call_id - 1], "");
    EXPECT_EQ(alice->Next().answer().call_id(), call_id);
  }
}

// It reads nothing, so that its link fills up: calls are refused, and the link is not cut for them.
TEST_F(LinksTest, RefusesCallsToAnInstanceThatDoesNotKeepUp) {
  options_.session.link_backlog = 100'000;
  options_.session.calls_in_flight = 100'000;
  options_.link.silence = std::chrono::minutes(1);
  Start();
  auto alice = Live("1:10");
  const int links = chat_->links();
  chat_->deaf = true;
  v1::ConnectRequest frame;
  frame.mutable_send_message()->mutable_content()->mutable_text()->set_body(
      std::string(16'000, 'x'));
  // What the transport takes by itself is no more than this.
  for (uint64_t call_id = 1; call_id <= 1000; ++call_id) {
    frame.set_call_id(call_id);
    alice->Send(frame);
  }
  const v1::ServerFrame refusal = alice->Next();
  EXPECT_EQ(ReasonOf(refusal), Reason::OVERLOADED);
  EXPECT_TRUE(refusal.answer().failure().has_retry_after());
  for (const auto& link : gateway_->hub().links().all()) EXPECT_LT(link->backlog(), 200'000U);
  chat_->deaf = false;
  EXPECT_EQ(chat_->TakeCall().call_id(), 1U);
  EXPECT_EQ(chat_->links(), links);
}

// The lane of conversation 1 refuses a message; the gateway then does so by itself.
class LanesTest : public LinksTest {
 protected:
  static constexpr int kLanes = 2;
  LanesTest() {
    options_.link.lane_full = std::chrono::minutes(10);
    EXPECT_EQ(bus::LaneOf(1, kLanes), bus::LaneOf(same_, kLanes));
    EXPECT_NE(bus::LaneOf(1, kLanes), bus::LaneOf(other_, kLanes));
  }
  void LetRefuse(Device* device, Reason reason) {
    device->SendMessage(1, 1, "refused there");
    chat_->Refuse(chat_->TakeCall(), Error(reason, {}, {.retry_after = milliseconds(500)}));
    EXPECT_EQ(ReasonOf(device->Next()), reason);
  }
  // Whether a message to that conversation comes to the instance; else it is OVERLOADED.
  bool Reaches(Device* device, int64_t conversation) {
    device->SendMessage(2, conversation, "the next");
    // No message, so it comes to the instance, behind what does.
    v1::ConnectRequest typing;
    typing.set_call_id(3);
    typing.mutable_set_typing()->set_conversation_id(conversation);
    device->Send(typing);
    pb::SessionCall call = chat_->TakeCall();
    const bool reached = call.call_id() == 2;
    if (reached) {
      chat_->Answer(call, {});
      call = chat_->TakeCall();
    }
    chat_->Answer(call, {});
    const v1::ServerFrame answer = device->Next();
    EXPECT_EQ(answer.answer().call_id(), 2U);
    if (!reached) {
      EXPECT_EQ(ReasonOf(answer), Reason::OVERLOADED);
      EXPECT_TRUE(answer.answer().failure().has_retry_after());
    }
    EXPECT_EQ(device->Next().answer().call_id(), 3U);
    return reached;
  }

  // Conversations, of that lane and of the other one.
  const int64_t same_ = 4;
  const int64_t other_ = 2;
};

TEST_F(LanesTest, RefusesWhatAFullLaneWouldRefuse) {
  chat_->lanes = kLanes;
  Start();
  auto alice = Live("1:10");
  auto bob = Live("2:20");
  EXPECT_TRUE(Reaches(bob.get(), same_));
  LetRefuse(alice.get(), Reason::OVERLOADED);
  auto& counter = CounterFamily("im_gateway_overloaded_total", "").Add({});
  const double before = counter.Value();
  EXPECT_FALSE(Reaches(alice.get(), 1));
  EXPECT_FALSE(Reaches(bob.get(), same_));
  EXPECT_TRUE(Reaches(bob.get(), other_));
  EXPECT_EQ(counter.Value(), before + 2);
}

TEST_F(LanesTest, AsksAgainAMomentLater) {
  options_.link.lane_full = milliseconds(20);
  chat_->lanes = kLanes;
  Start();
  auto alice = Live("1:10");
  LetRefuse(alice.get(), Reason::OVERLOADED);
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_TRUE(Reaches(alice.get(), 1));
}

TEST_F(LanesTest, OtherRefusalsSayNothingOfALane) {
  chat_->lanes = kLanes;
  Start();
  auto alice = Live("1:10");
  LetRefuse(alice.get(), Reason::CONVERSATION_BUSY);
  EXPECT_TRUE(Reaches(alice.get(), 1));
}

TEST_F(LanesTest, AnInstanceThatDoesNotSayHowManyIsAsked) {
  chat_->lanes = kLanes;
  Start();
  auto alice = Live("1:10");
  int64_t seq = 0;
  for (const int lanes : {0, -1, bus::kMaxLanes + 1}) {
    chat_->lanes = lanes;
    chat_->SayHello(7);
    // After which the hello was heard.
    ++seq;
    chat_->Publish({1}, ChatEvent(5, seq), {}, 5, seq);
    EXPECT_EQ(SeqOf(alice->Next()), seq);
    LetRefuse(alice.get(), Reason::OVERLOADED);
    EXPECT_TRUE(Reaches(alice.get(), 1)) << lanes;
  }
}

TEST_F(LinksTest, CallsThatWaitForAnInstanceAreBoundedInBytes) {
  options_.session.call_wait = std::chrono::seconds(15);
  options_.session.queue_bytes = 100'000;
  Start();
  auto alice = Live("1:10");
  chat_->Stop();
  Await([&] { return !gateway_->Healthy(); });
  v1::ConnectRequest frame;
  frame.mutable_send_message()->mutable_content()->mutable_text()->set_body(
      std::string(30'000, 'x'));
  constexpr uint64_t kCalls = 50;
  std::thread sender([&] {
    for (uint64_t call_id = 1; call_id <= kCalls; ++call_id) {
      frame.set_call_id(call_id);
      alice->Send(frame);
    }
  });
  Await([&] { return gateway_->queued_bytes() >= 100'000; });
  // After the fourth no more are read.
  const auto until = std::chrono::steady_clock::now() + milliseconds(300);
  while (std::chrono::steady_clock::now() < until) {
    EXPECT_LT(gateway_->queued_bytes(), 140'000U);
  }
  // And nothing is lost by it.
  chat_->Start();
  for (uint64_t call_id = 1; call_id <= kCalls; ++call_id) {
    const pb::SessionCall call = chat_->TakeCall();
    EXPECT_EQ(call.call_id(), call_id);
    chat_->Answer(call, "");
    EXPECT_EQ(alice->Next().answer().call_id(), call_id);
  }
  sender.join();
}

class TwoChatsTest : public GatewayTest {
 protected:
  TwoChatsTest() : other_(SocketOf("chat2")) {
    options_.upstreams.chat.push_back(other_.address());
    other_.Start();
  }
  ~TwoChatsTest() override {
    StopGateway();
    other_.Stop();
  }
  void StartBoth() {
    Start();
    chat_->AwaitLink(1);
    other_.AwaitLink(1);
    Await([&] {
      for (const auto& link : gateway_->hub().links().all()) {
        if (link->generation() == 0) return false;
      }
      return true;
    });
  }
  // The instance that the session's resume went to, and the other one.
  std::pair<FakeService*, FakeService*> ByResume() {
    Await([&] { return chat_->Has(pb::GatewayItem::kCall) || other_.Has(pb::GatewayItem::kCall); });
    if (chat_->Has(pb::GatewayItem::kCall)) return {chat_.get(), &other_};
    return {&other_, chat_.get()};
  }

  FakeService other_;
};

TEST_F(TwoChatsTest, ResumesAtOneOnceBothHaveTheSession) {
  other_.open_sessions = false;
  StartBoth();
  auto alice = Connect("1:10");
  EXPECT_TRUE(alice->Next().has_welcome());
  chat_->TakeOpen();
  const uint64_t number = other_.TakeOpen().session();
  EXPECT_FALSE(chat_->Has(pb::GatewayItem::kCall));
  pb::ServiceItem opened;
  opened.mutable_opened()->set_session(number);
  other_.Say(opened);
  EXPECT_TRUE(alice->Next().has_caught_up());
}

TEST_F(TwoChatsTest, AConversationAlwaysGoesToTheSameOne) {
  StartBoth();
  auto alice = Connect("1:10");
  alice->NextOf(v1::ServerFrame::kCaughtUp);
  ByResume().first->TakeCall();
  std::map<int64_t, FakeService*> instance;
  uint64_t call_id = 0;
  for (int round = 0; round < 2; ++round) {
    for (int64_t conversation = 1; conversation <= 20; ++conversation) {
      alice->SendMessage(++call_id, conversation, "a");
      FakeService* const at = ByResume().first;
      at->Answer(at->TakeCall(), "");
      EXPECT_EQ(alice->Next().answer().call_id(), call_id);
      if (round == 0) instance[conversation] = at;
      EXPECT_EQ(instance[conversation], at);
    }
  }
  const auto at_first = [&](const auto& entry) { return entry.second == chat_.get(); };
  const auto count = std::count_if(instance.begin(), instance.end(), at_first);
  // Both have some; how many is up to the folder's name, which is random.
  EXPECT_GT(count, 0);
  EXPECT_LT(count, 20);
}

TEST_F(TwoChatsTest, TheOtherTakesOverAndPublishesWhatWasStored) {
  StartBoth();
  auto alice = Connect("1:10");
  alice->NextOf(v1::ServerFrame::kCaughtUp);
  const auto [gone, left] = ByResume();
  gone->Stop();
  left->Take(pb::GatewayItem::kCatchUp);
  for (int64_t conversation = 1; conversation <= 10; ++conversation) {
    alice->SendMessage(static_cast<uint64_t>(conversation), conversation, "a");
    left->Answer(left->TakeCall(), "");
    EXPECT_TRUE(alice->Next().answer().has_send_message());
  }
}

TEST_F(TwoChatsTest, ASessionOpensAtAnInstanceThatComesLater) {
  other_.Stop();
  Start();
  auto alice = Live("1:10");
  other_.Start();
  EXPECT_EQ(other_.TakeOpen().access_token(), "1:10");
  other_.Publish({1}, ChatEvent(5, 1), {}, 5, 1);
  EXPECT_EQ(SeqOf(alice->Next()), 1);
  // It may have stored something before the session was registered.
  other_.Take(pb::GatewayItem::kCatchUp);
}

}  // namespace
}  // namespace im::gateway
