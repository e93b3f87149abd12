#include "client/session.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "tests/client/fakes.h"

namespace im::client::testing {
namespace {

using gateway::v1::ConnectRequest;
using gateway::v1::ServerFrame;
using ::testing::ElementsAre;
using ::testing::StartsWith;

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() { channel_ = *Channel::Open({.server = gateway_.address()}); }
  ~SessionTest() override {
    if (session_) session_->Stop();
  }

  void Start(Snapshot snapshot = {}, std::shared_ptr<TokenSource> tokens = nullptr) {
    SessionOptions options;
    options.snapshot = std::move(snapshot);
    options.uniform = [] { return 0.5; };
    if (tokens == nullptr) tokens = std::make_shared<FixedToken>("token");
    session_ = std::make_unique<Session>(channel_, tokens, &timers_, &seen_, options);
    session_->Start();
  }
  // Starts, and plays the first connection up to the end of the list.
  std::shared_ptr<FakeStream> StartLive() {
    Start();
    const auto stream = gateway_.Accept();
    stream->Welcome();
    stream->CaughtUp();
    EXPECT_TRUE(seen_.Await("live"));
    return stream;
  }
  std::shared_ptr<FakeStream> Reconnected() {
    EXPECT_TRUE(seen_.Await("waiting"));
    // No more than the wait: the new connection would go stale.
    timers_.Advance(std::chrono::milliseconds(130));
    return gateway_.Accept();
  }
  void Send(const std::string& text) {
    session_->Send(
        5, TextContent(text),
        [this, text](const absl::StatusOr<chat::v1::SendMessageResponse>& answer) {
          sent_.Put(text + (answer.ok() ? " " + std::to_string(answer->seq()) : " failed"));
        });
  }

  FakeGateway gateway_;
  FakeTimers timers_;
  Recorder seen_;
  Inflow<std::string> sent_;
  std::shared_ptr<Channel> channel_;
  std::unique_ptr<Session> session_;
};

TEST_F(SessionTest, SaysHelloWithItsTokenAndListsWhatThereIs) {
  gateway_.Store(DirectConversation(5, 3));
  Start();
  const auto stream = gateway_.Accept();
  EXPECT_EQ(stream->token(), "Bearer token");
  const auto hello = stream->Welcome();
  EXPECT_TRUE(hello.have().only_listed());
  EXPECT_EQ(hello.have().epoch(), 0);
  EXPECT_EQ(hello.status(), presence::v1::STATUS_ONLINE);
  stream->CaughtUp();
  EXPECT_EQ(seen_.Next(), "connecting");
  EXPECT_EQ(seen_.Next(), "resuming");
  EXPECT_EQ(seen_.Next(), "listed 5");
  EXPECT_EQ(seen_.Next(), "live");
  stream->Entry(TextEntry(5, 4, "next"));
  EXPECT_EQ(seen_.Next(), "entry 5/4 next");
}

TEST_F(SessionTest, AListThatCameAfterItsStreamMakesNothingLive) {
  gateway_.Store(DirectConversation(5, 3));
  gateway_.HoldNextList();
  Start();
  auto stream = gateway_.Accept();
  stream->Welcome();
  stream->CaughtUp();
  EXPECT_EQ(seen_.Next(), "connecting");
  EXPECT_EQ(seen_.Next(), "resuming");
  stream->End({grpc::StatusCode::UNAVAILABLE, "killed"});
  EXPECT_THAT(seen_.Next(), StartsWith("waiting"));
  gateway_.ReleaseList();
  // It is on its way, and nobody waits for it.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  timers_.Advance(std::chrono::milliseconds(130));
  stream = gateway_.Accept();
  stream->Welcome();
  stream->CaughtUp();
  EXPECT_EQ(seen_.Next(), "connecting");
  EXPECT_EQ(seen_.Next(), "resuming");
  EXPECT_EQ(seen_.Next(), "listed 5");
  EXPECT_EQ(seen_.Next(), "live");
}

TEST_F(SessionTest, LoadsWhatIsMissingPageByPage) {
  const auto stream = StartLive();
  for (int seq = 1; seq <= 6; ++seq) gateway_.Store(TextEntry(5, seq, "m"));
  gateway_.FailNextLoad({grpc::StatusCode::UNAVAILABLE, "later"});
  stream->Entry(TextEntry(5, 1, "m"));
  stream->Entry(TextEntry(5, 6, "m"));
  EXPECT_EQ(seen_.Next(), "entry 5/1 m");
  // The grace, and the wait after the failure.
  ASSERT_TRUE(timers_.RunNext(std::chrono::milliseconds(500)));
  ASSERT_TRUE(timers_.RunNext(std::chrono::milliseconds(500)));
  EXPECT_THAT(seen_.NextEntries(5), ElementsAre("entry 5/2 m", "entry 5/3 m", "entry 5/4 m",
                                                "entry 5/5 m", "entry 5/6 m"));
  EXPECT_EQ(session_->counts().loads, 1);
}

TEST_F(SessionTest, ResumesWithWhatItHas) {
  auto stream = StartLive();
  stream->Entry(TextEntry(5, 1, "one"));
  EXPECT_EQ(seen_.Next(), "entry 5/1 one");
  stream->End({grpc::StatusCode::UNAVAILABLE, "killed"});
  stream = Reconnected();
  const auto hello = stream->Welcome();
  EXPECT_EQ(hello.have().epoch(), 7);
  EXPECT_FALSE(hello.have().only_listed());
  ASSERT_EQ(hello.have().conversations_size(), 1);
  EXPECT_EQ(hello.have().conversations(0).seq(), 1);
  stream->Entry(TextEntry(5, 1, "one"));
  stream->Entry(TextEntry(5, 2, "two"));
  stream->CaughtUp();
  EXPECT_THAT(seen_.NextEntries(1), ElementsAre("entry 5/2 two"));
  EXPECT_TRUE(seen_.Await("live"));
  EXPECT_EQ(session_->counts().repeats, 1);
}

TEST_F(SessionTest, GoesOnFromASnapshot) {
  auto stream = StartLive();
  stream->Entry(TextEntry(5, 1, "one"));
  ASSERT_TRUE(seen_.Await("entry 5/1"));
  const Snapshot snapshot = session_->GetSnapshot();
  session_->Stop();
  session_ = nullptr;
  Start(snapshot);
  stream = gateway_.Accept();
  const auto hello = stream->Welcome();
  EXPECT_EQ(hello.have().conversations(0).seq(), 1);
  stream->CaughtUp();
  EXPECT_TRUE(seen_.Await("live"));
}

TEST_F(SessionTest, ForgetsWhenTheDataIsNotWhatItWas) {
  auto stream = StartLive();
  stream->Entry(TextEntry(5, 1, "one"));
  ASSERT_TRUE(seen_.Await("entry 5/1"));
  stream->End({grpc::StatusCode::UNAVAILABLE, "restored"});
  stream = Reconnected();
  gateway_.Store(DirectConversation(5, 1));
  stream->Welcome(8);
  stream->CaughtUp();
  EXPECT_TRUE(seen_.Await("forgotten"));
  EXPECT_TRUE(seen_.Await("listed 5"));
  EXPECT_TRUE(seen_.Await("live"));
}

TEST_F(SessionTest, SendsInOrderOneAtATime) {
  const auto stream = StartLive();
  Send("a");
  Send("b");
  const auto first = stream->Read();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->send_message().content().text().body(), "a");
  EXPECT_EQ(first->send_message().request_id().size(), 16u);
  stream->AnswerSend(*first, 1);
  const auto second = stream->Read();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->send_message().content().text().body(), "b");
  stream->AnswerSend(*second, 2);
  EXPECT_EQ(sent_.Take(), "a 1");
  EXPECT_EQ(sent_.Take(), "b 2");
  EXPECT_THAT(seen_.NextEntries(2), ElementsAre("entry 5/1 a", "entry 5/2 b"));
}

TEST_F(SessionTest, SendsAgainWithTheSameIdAfterTheResume) {
  auto stream = StartLive();
  Send("a");
  Send("b");
  const auto first = stream->Read();
  stream->End({grpc::StatusCode::UNAVAILABLE, "killed"});
  stream = Reconnected();
  stream->Welcome();
  stream->CaughtUp();
  const auto again = stream->Read();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->send_message().SerializeAsString(), first->send_message().SerializeAsString());
  stream->AnswerSend(*again, 1);
  EXPECT_EQ(sent_.Take(), "a 1");
  EXPECT_EQ(stream->Read()->send_message().content().text().body(), "b");
}

TEST_F(SessionTest, AnEntryOfTheResumeSettlesWhatWasSent) {
  auto stream = StartLive();
  Send("a");
  Send("b");
  const auto first = stream->Read();
  stream->End({grpc::StatusCode::UNAVAILABLE, "killed"});
  stream = Reconnected();
  stream->Welcome();
  auto entry = TextEntry(5, 1, "a", 1);
  entry.set_request_id(first->send_message().request_id());
  stream->Entry(entry);
  stream->CaughtUp();
  EXPECT_EQ(sent_.Take(), "a 1");
  EXPECT_EQ(stream->Read()->send_message().content().text().body(), "b");
  EXPECT_THAT(seen_.NextEntries(1), ElementsAre("entry 5/1 a"));
}

TEST_F(SessionTest, TriesAgainWhatMayPassAndTellsWhatWillNot) {
  const auto stream = StartLive();
  Send("a");
  Send("b");
  stream->Fail(*stream->Read(), Error(Reason::OUTCOME_UNKNOWN));
  ASSERT_TRUE(timers_.RunNext(std::chrono::milliseconds(500)));
  const auto again = stream->Read();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->send_message().content().text().body(), "a");
  stream->Fail(*again, Error(Reason::RECIPIENT_REFUSES));
  EXPECT_EQ(sent_.Take(), "a failed");
  EXPECT_EQ(stream->Read()->send_message().content().text().body(), "b");
}

TEST_F(SessionTest, ComesBackWhenTheServerSays) {
  auto stream = StartLive();
  ServerFrame end;
  end.mutable_session_end()->set_reason(gateway::v1::SESSION_END_REASON_RECONNECT);
  end.mutable_session_end()->mutable_reconnect_after()->set_seconds(3);
  stream->Write(end);
  stream->End();
  EXPECT_EQ(seen_.Next(), "waiting 3000");
  timers_.Advance(std::chrono::seconds(3));
  EXPECT_EQ(seen_.Next(), "connecting");
  EXPECT_NE(gateway_.Accept(), nullptr);
}

TEST_F(SessionTest, StaysAwayWhenTheServerSays) {
  const auto stream = StartLive();
  Send("a");
  ServerFrame end;
  end.mutable_session_end()->set_reason(gateway::v1::SESSION_END_REASON_DEVICE_REVOKED);
  stream->Write(end);
  stream->End();
  EXPECT_EQ(seen_.Next(), "ended DEVICE_REVOKED");
  EXPECT_EQ(sent_.Take(), "a failed");
  Send("b");
  EXPECT_EQ(sent_.Take(), "b failed");
}

// An earlier stream of the same device that comes late takes the place of the present one.
TEST_F(SessionTest, ComesBackOnceWhenItIsReplacedAtOnce) {
  ServerFrame end;
  end.mutable_session_end()->set_reason(gateway::v1::SESSION_END_REASON_REPLACED);
  auto stream = StartLive();
  stream->Write(end);
  stream->End();
  stream = Reconnected();
  stream->Welcome();
  stream->Write(end);
  stream->End();
  EXPECT_TRUE(seen_.Await("ended the same device opened another stream"));
}

TEST_F(SessionTest, StaysAwayWhenItIsReplacedLater) {
  const auto stream = StartLive();
  for (int i = 0; i < 2; ++i) {
    timers_.Advance(std::chrono::seconds(15));
    ServerFrame beat;
    beat.mutable_heartbeat();
    stream->Write(beat);
  }
  ServerFrame end;
  end.mutable_session_end()->set_reason(gateway::v1::SESSION_END_REASON_REPLACED);
  stream->Write(end);
  stream->End();
  EXPECT_TRUE(seen_.Await("ended the same device opened another stream"));
}

// As a gateway whose clock is wrong does, until it is set right.
TEST_F(SessionTest, TriesOnWhileNewTokensAreSaidToHaveExpired) {
  auth::v1::Tokens tokens;
  tokens.set_access_token("access0");
  tokens.set_refresh_token("refresh0");
  Start({}, std::make_shared<MemoryTokens>(channel_, tokens));
  auto stream = gateway_.Accept();
  for (int i = 1; i < 4; ++i) {
    stream->End(rpc::ToGrpc(Error(Reason::TOKEN_EXPIRED)));
    ASSERT_TRUE(seen_.Await("waiting"));
    timers_.Advance(std::chrono::milliseconds(300));
    stream = gateway_.Accept();
    EXPECT_EQ(stream->token(), "Bearer access" + std::to_string(i));
  }
  stream->Welcome();
  stream->CaughtUp();
  EXPECT_TRUE(seen_.Await("live"));
}

TEST_F(SessionTest, GetsANewTokenWhenTheOldOneIsRefused) {
  auth::v1::Tokens tokens;
  tokens.set_access_token("access0");
  tokens.set_refresh_token("refresh0");
  Start({}, std::make_shared<MemoryTokens>(channel_, tokens));
  auto stream = gateway_.Accept();
  EXPECT_EQ(stream->token(), "Bearer access0");
  stream->End(rpc::ToGrpc(Error(Reason::TOKEN_EXPIRED)));
  stream = Reconnected();
  EXPECT_EQ(stream->token(), "Bearer access1");
  // A new one that is refused as well will not get better.
  stream->End(rpc::ToGrpc(Error(Reason::TOKEN_INVALID)));
  EXPECT_TRUE(seen_.Await("ended TOKEN_INVALID"));
}

TEST_F(SessionTest, RefreshesTheTokenOnTheOpenStream) {
  auth::v1::Tokens tokens;
  tokens.set_access_token("access0");
  tokens.set_refresh_token("refresh0");
  Start({}, std::make_shared<MemoryTokens>(channel_, tokens));
  const auto stream = gateway_.Accept();
  stream->Welcome();
  stream->CaughtUp();
  ASSERT_TRUE(seen_.Await("live"));
  // Not in one leap, which would look like a dead server.
  for (int i = 0; i < 11; ++i) {
    timers_.Advance(std::chrono::seconds(60));
    stream->Write([] {
      ServerFrame frame;
      frame.mutable_heartbeat();
      return frame;
    }());
    stream->Chat([&] {
      chat::v1::Event event;
      event.mutable_own_log()->set_after_position(i);
      event.mutable_own_log()->set_position(i + 1);
      event.mutable_own_log()->add_records()->set_position(i + 1);
      return event;
    }());
    ASSERT_TRUE(seen_.Await("record"));
  }
  timers_.Advance(std::chrono::seconds(61));
  const auto frame = stream->ReadPast({ConnectRequest::kHeartbeat, ConnectRequest::kHave});
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->refresh_token().access_token(), "access1");
}

TEST_F(SessionTest, SendsHeartbeatsAndGivesUpOnSilence) {
  const auto stream = StartLive();
  timers_.Advance(std::chrono::seconds(31));
  EXPECT_TRUE(stream->Read()->has_heartbeat());
  timers_.Advance(std::chrono::seconds(60));
  EXPECT_THAT(seen_.Next(), StartsWith("waiting"));
}

TEST_F(SessionTest, ComparesAgainOnResyncAndOnAHoleInTheOwnLog) {
  const auto stream = StartLive();
  ServerFrame resync;
  resync.mutable_resync();
  stream->Write(resync);
  EXPECT_TRUE(stream->Read()->has_have());
  stream->CaughtUp(4);
  chat::v1::Event event;
  event.mutable_own_log()->set_after_position(6);
  event.mutable_own_log()->set_position(7);
  event.mutable_own_log()->add_records()->set_position(7);
  stream->Chat(event);
  const auto have = stream->Read();
  EXPECT_EQ(have->have().own_log_position(), 4);
  event.mutable_own_log()->set_after_position(2);
  event.mutable_own_log()->mutable_records(0)->set_position(3);
  event.mutable_own_log()->add_records()->set_position(7);
  stream->Chat(event);
  EXPECT_EQ(seen_.Next(), "record 7");
}

TEST_F(SessionTest, ComparesAgainWhenAResumeEndsWithResync) {
  const auto stream = StartLive();
  stream->End({grpc::StatusCode::UNAVAILABLE, "killed"});
  const auto next = Reconnected();
  next->Welcome();
  ServerFrame resync;
  resync.mutable_resync();
  for (int i = 0; i < 2; ++i) {
    next->Write(resync);
    EXPECT_TRUE(next->Read()->has_have());
  }
  next->CaughtUp();
  EXPECT_TRUE(seen_.Await("live"));
}

TEST_F(SessionTest, AcknowledgesWhatArrivedOnceASecond) {
  const auto stream = StartLive();
  stream->Entry(TextEntry(5, 1, "one"));
  stream->Entry(TextEntry(5, 2, "two"));
  ASSERT_TRUE(seen_.Await("entry 5/2"));
  timers_.Advance(std::chrono::seconds(1));
  const auto frame = stream->Read();
  EXPECT_EQ(frame->acknowledge_delivery().seq(), 2);
}

TEST_F(SessionTest, AcknowledgesAfterAReconnectToo) {
  auto stream = StartLive();
  stream->Entry(TextEntry(5, 1, "one"));
  ASSERT_TRUE(seen_.Await("entry 5/1"));
  stream->End({grpc::StatusCode::UNAVAILABLE, "killed"});
  stream = Reconnected();
  stream->Welcome();
  stream->CaughtUp();
  ASSERT_TRUE(seen_.Await("live"));
  stream->Entry(TextEntry(5, 2, "two"));
  stream->Entry(TextEntry(5, 3, "three"));
  // The timer is set after the first of them was told.
  ASSERT_TRUE(seen_.Await("entry 5/3"));
  timers_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(stream->Read()->acknowledge_delivery().seq(), 3);
}

TEST_F(SessionTest, KeepsAReadMarkUntilItIsConfirmed) {
  auto stream = StartLive();
  session_->MarkRead(5, 2);
  EXPECT_EQ(stream->Read()->mark_read().seq(), 2);
  stream->End({grpc::StatusCode::UNAVAILABLE, "killed"});
  stream = Reconnected();
  stream->Welcome();
  stream->CaughtUp();
  EXPECT_EQ(stream->Read()->mark_read().seq(), 2);
}

}  // namespace
}  // namespace im::client::testing
