// The small parts, each by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/error.h"
#include "common/base/random.h"
#include "gateway/address.h"
#include "gateway/frame.h"
#include "gateway/limits.h"
#include "gateway/links.h"
#include "gateway/outbox.h"
#include "gateway/passed_on.h"
#include "gateway/route.h"
#include "gateway/wire.h"
#include "im/chat/v1/messages.pb.h"

namespace im::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

TEST(WireTest, FindsWhatProtobufWrote) {
  chat::v1::SendMessageRequest request;
  request.set_conversation_id(int64_t{1} << 60);
  request.set_request_id("0123456789abcdef");
  request.mutable_content()->mutable_text()->set_body("hello");
  EXPECT_THAT(wire::FindVarint(request.SerializeAsString(), 1), Optional(uint64_t{1} << 60));
  EXPECT_EQ(wire::FindVarint(request.SerializeAsString(), 2), std::nullopt);
  EXPECT_EQ(wire::FindVarint("", 1), std::nullopt);
}

TEST(WireTest, SkipsAllTypes) {
  // 5: fixed64, 6: fixed32, 7: a group with a field and a group in it, 1: varint 9.
  const std::string bytes =
      "\x29"
      "12345678"
      "\x35"
      "1234"
      "\x3b\x08\x01\x43\x44\x3c"
      "\x08\x09";
  EXPECT_THAT(wire::FindVarint(bytes, 1), Optional(9u));
}

TEST(WireTest, RefusesWhatIsNoMessage) {
  for (const std::string& bad :
       {std::string("\x08", 1), std::string("\x0a\x05hi", 4), std::string("\x00\x01", 2),
        std::string("\x0c", 1), std::string("\x3b\x08\x01", 3), std::string("\x0e\x01", 2),
        std::string(11, '\xff'),
        std::string("\x29"
                    "123",
                    4),
        std::string(300, '\x3b')}) {
    wire::Reader reader(bad);
    wire::Field field;
    while (reader.Next(&field)) {
    }
    EXPECT_FALSE(reader.ok()) << testing::PrintToString(bad);
  }
}

TEST(WireTest, SurvivesAnything) {
  for (int i = 0; i < 20'000; ++i) {
    const std::string bytes = RandomBytes(RandomBelow(40));
    const auto frame = ParseClientFrame(bytes);
    // What our reader refuses, Protobuf's refuses too: nobody's good frame is lost.
    v1::ConnectRequest any;
    EXPECT_FALSE(!frame && any.ParseFromString(bytes)) << testing::PrintToString(bytes);
    ParseHello(bytes);
    ParseSyncRequest(bytes);
    ParseSubscribeRequest(bytes);
  }
}

TEST(FrameTest, IsWhatProtobufWouldWrite) {
  chat::v1::SendMessageResponse response;
  response.set_seq(300);
  v1::ConnectResponse expected;
  auto* answer = expected.mutable_frame()->mutable_answer();
  answer->set_call_id(1000);
  *answer->mutable_send_message() = response;
  const Frame frame = AnswerFrame(1000, kSendMessageFrame, response.SerializeAsString());
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(frame.slice().begin()), frame.size()),
            expected.SerializeAsString());
  v1::ConnectResponse resync;
  ASSERT_TRUE(
      resync.ParseFromArray(ResyncFrame().slice().begin(), static_cast<int>(ResyncFrame().size())));
  EXPECT_TRUE(resync.frame().has_resync());
}

TEST(FrameTest, TheLastFrameCounts) {
  v1::ConnectRequest request;
  request.mutable_heartbeat();
  request.set_call_id(4);
  const std::string twice = request.SerializeAsString() + std::string("\x52\x00", 2);
  const auto frame = ParseClientFrame(twice);
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->number, 10u);
  EXPECT_EQ(frame->call_id, 4u);
}

std::vector<std::string> All(Outbox* outbox) {
  std::vector<std::string> all;
  Frame frame;
  while (outbox->Pop(&frame)) {
    all.emplace_back(reinterpret_cast<const char*>(frame.slice().begin()), frame.size());
  }
  return all;
}
std::string Bytes(const Frame& frame) {
  return {reinterpret_cast<const char*>(frame.slice().begin()), frame.size()};
}

TEST(OutboxTest, KeepsOrder) {
  Outbox outbox(1000);
  EXPECT_TRUE(outbox.AddLive(Frame("a"), "", false));
  outbox.Keep(Frame("b"));
  EXPECT_TRUE(outbox.AddLive(Frame("c"), "", false));
  EXPECT_THAT(All(&outbox), ElementsAre("a", "b", "c"));
  EXPECT_EQ(outbox.bytes(), 0u);
}

TEST(OutboxTest, ALaterEventTakesThePlaceOfAnEarlierOne) {
  Outbox outbox(1000);
  outbox.AddLive(Frame("typing"), "t", true);
  outbox.AddLive(Frame("b"), "", false);
  outbox.AddLive(Frame("stopped"), "t", true);
  EXPECT_THAT(All(&outbox), ElementsAre("stopped", "b"));
  outbox.AddLive(Frame("again"), "t", true);
  EXPECT_THAT(All(&outbox), ElementsAre("again"));
}

TEST(OutboxTest, DropsFleetingOnesFirst) {
  Outbox outbox(400);
  EXPECT_TRUE(outbox.AddLive(Frame(std::string(100, 'p')), "p", true));
  EXPECT_TRUE(outbox.AddLive(Frame(std::string(100, 'a')), "", false));
  EXPECT_TRUE(outbox.AddLive(Frame(std::string(100, 'b')), "", false));
  EXPECT_EQ(outbox.fleeting_dropped(), 1u);
  EXPECT_THAT(All(&outbox), ElementsAre(std::string(100, 'a'), std::string(100, 'b')));
}

// A watermark, say: a later one replaces it, but nobody would say it again.
TEST(OutboxTest, DropsWhatIsReplaceableOnlyWithEverything) {
  Outbox outbox(300);
  EXPECT_TRUE(outbox.AddLive(Frame(std::string(100, 'a')), "read/1", false));
  EXPECT_TRUE(outbox.AddLive(Frame(std::string(100, 'b')), "read/1", false));
  EXPECT_FALSE(outbox.AddLive(Frame(std::string(200, 'c')), "", false));
  EXPECT_TRUE(outbox.empty());
}

TEST(OutboxTest, DropsAllEventsAndNoAnswerWhenFull) {
  Outbox outbox(300);
  outbox.KeepAnswer(Frame("answer"));
  EXPECT_TRUE(outbox.AddLive(Frame(std::string(200, 'a')), "", false));
  EXPECT_FALSE(outbox.AddLive(Frame(std::string(200, 'b')), "", false));
  outbox.AddResync();
  outbox.AddResync();
  outbox.Keep(Frame("end"));
  EXPECT_EQ(outbox.answers(), 1u);
  EXPECT_THAT(All(&outbox), ElementsAre("answer", Bytes(ResyncFrame()), "end"));
  outbox.AddResync();
  EXPECT_FALSE(outbox.empty());
}

TEST(OutboxTest, AppendsWhatWasHeld) {
  Outbox outbox(1000);
  Outbox held(1000);
  outbox.AddLive(Frame("a"), "k", true);
  held.AddLive(Frame("b"), "", false);
  held.AddLive(Frame("c"), "k", true);
  outbox.Append(&held);
  outbox.AddLive(Frame("d"), "k", true);
  EXPECT_TRUE(held.empty());
  EXPECT_THAT(All(&outbox), ElementsAre("a", "b", "d"));
}

TEST(AddressTest, OfPeers) {
  EXPECT_EQ(AddressOfPeer("ipv4:10.0.0.1:5000"), "10.0.0.1");
  EXPECT_EQ(AddressOfPeer("ipv6:%5B::1%5D:5000"), "::1");
  EXPECT_EQ(AddressOfPeer("ipv6:[2001:db8::1]:5000"), "2001:db8::1");
  EXPECT_EQ(AddressOfPeer("ipv6:%5B::ffff:10.0.0.1%5D:5000"), "10.0.0.1");
  EXPECT_EQ(AddressOfPeer("ipv6:%5Bfe80::1%25eth0%5D:5000"), "fe80::1");
  EXPECT_EQ(AddressOfPeer("unix:/run/x"), "unix");
  EXPECT_EQ(AddressOfPeer("unix:"), "unix");
}

TEST(AddressTest, Sets) {
  const auto set = AddressSet::Parse("127.0.0.0/8, ::1/128, 2001:db8::/32, 10.1.2.3");
  ASSERT_TRUE(set.ok());
  for (const char* in : {"127.0.0.1", "127.255.0.1", "::1", "2001:db8:5::9", "10.1.2.3"}) {
    EXPECT_TRUE(set->Contains(in)) << in;
  }
  for (const char* out : {"128.0.0.1", "::2", "2001:db9::1", "10.1.2.4", "unix", "", "nonsense"}) {
    EXPECT_FALSE(set->Contains(out)) << out;
  }
  EXPECT_FALSE(AddressSet::Parse("")->Contains("127.0.0.1"));
  EXPECT_FALSE(AddressSet::Parse("none")->Contains("unix"));
  EXPECT_TRUE(AddressSet::Parse("unix")->Contains("unix"));
  EXPECT_TRUE(AddressSet::Parse("0.0.0.0/0")->Contains("8.8.8.8"));
  for (const char* bad :
       {"127.0.0.0/33", "localhost", "1.2.3/8", "::/129", "1.2.3.4/", "1.2.3.4/x"}) {
    EXPECT_FALSE(AddressSet::Parse(bad).ok()) << bad;
  }
}

TEST(AddressTest, KeysOfIpv6StandForTheNetwork) {
  EXPECT_EQ(AddressKey("2001:db8::1"), AddressKey("2001:db8::2"));
  EXPECT_NE(AddressKey("2001:db8::1"), AddressKey("2001:db8:0:1::1"));
  EXPECT_NE(AddressKey("10.0.0.1"), AddressKey("10.0.0.2"));
}

class BucketsTest : public ::testing::Test {
 protected:
  Limits Make() { return {options_, *AddressSet::Parse(options_.exempt)}; }
  void Set(Action action, int device, int account, int address) {
    options_.per_minute[static_cast<int>(action)] = {device, account, address};
  }
  LimitOptions options_;
  const Limits::Time start_{std::chrono::hours(1)};
};

TEST_F(BucketsTest, RefillWithinAMinute) {
  Set(Action::kLogIn, 0, 0, 6);
  Limits limits = Make();
  const auto take = [&](std::chrono::seconds at) {
    return limits.TakeForAddress(Action::kLogIn, "8.8.8.8", start_ + at);
  };
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(take(std::chrono::seconds(0)).ok());
  const absl::Status refused = take(std::chrono::seconds(0));
  EXPECT_THAT(im::ReasonOf(refused), Optional(Reason::RATE_LIMITED));
  EXPECT_THAT(DetailsOf(refused).retry_after, Optional(std::chrono::milliseconds(10'000)));
  EXPECT_FALSE(take(std::chrono::seconds(9)).ok());
  EXPECT_TRUE(take(std::chrono::seconds(11)).ok());
  EXPECT_FALSE(take(std::chrono::seconds(12)).ok());
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(take(std::chrono::seconds(1000)).ok());
  EXPECT_FALSE(take(std::chrono::seconds(1000)).ok());
}

TEST_F(BucketsTest, CountDevicesAndAccountsTogether) {
  Set(Action::kSend, 2, 3, 0);
  Limits limits = Make();
  const auto take = [&](int64_t device) {
    return limits.TakeForDevice(Action::kSend, "8.8.8.8", 1, device, start_);
  };
  EXPECT_TRUE(take(10).ok());
  EXPECT_TRUE(take(10).ok());
  // The device's is empty, and nothing was taken from the account's.
  EXPECT_FALSE(take(10).ok());
  EXPECT_TRUE(take(11).ok());
  EXPECT_FALSE(take(11).ok());
}

TEST_F(BucketsTest, AreBoundedInMemory) {
  options_.max_buckets = 100;
  Set(Action::kLogIn, 0, 0, 6);
  Limits limits = Make();
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(limits
                    .TakeForAddress(
                        Action::kLogIn,
                        "8.8." + std::to_string(i / 250) + "." + std::to_string(i % 250), start_)
                    .ok());
  }
  EXPECT_LE(limits.buckets(), 100u);
  limits.Tick(start_ + std::chrono::minutes(2));
  EXPECT_EQ(limits.buckets(), 0u);
}

TEST_F(BucketsTest, ExemptAndUnlimited) {
  Set(Action::kLogIn, 0, 0, 1);
  Limits limits = Make();
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(limits.TakeForAddress(Action::kLogIn, "127.0.0.1", start_).ok());
    EXPECT_TRUE(limits.TakeForDevice(Action::kLogIn, "8.8.8.8", 1, 10, start_).ok());
  }
  EXPECT_EQ(limits.buckets(), 0u);
}

TEST(LimitsTest, KnowWhatMethodsAre) {
  EXPECT_EQ(ActionOfMethod("/im.auth.v1.AccountService/LogIn"), Action::kLogIn);
  EXPECT_EQ(ActionOfMethod("/im.chat.v1.MessageService/SendMessage"), Action::kSend);
  EXPECT_EQ(ActionOfMethod("/im.chat.v1.ContactService/NewOne"), Action::kOther);
  EXPECT_EQ(ActionOfFrame(10), Action::kSend);
  EXPECT_EQ(ActionOfFrame(3), Action::kOther);
}

internal::v1::Publication Of(int64_t conversation, int64_t seq, std::vector<int64_t> users) {
  internal::v1::Publication publication;
  publication.set_conversation_id(conversation);
  publication.set_seq(seq);
  publication.mutable_user_ids()->Assign(users.begin(), users.end());
  return publication;
}

TEST(PassedOnTest, KnowsWhatItSawForTheSameUsers) {
  PassedOn passed(100);
  EXPECT_FALSE(passed.Remember(Of(5, 1, {1, 2})));
  EXPECT_TRUE(passed.Remember(Of(5, 1, {2, 1})));
  EXPECT_FALSE(passed.Remember(Of(5, 2, {1, 2})));
  EXPECT_FALSE(passed.Remember(Of(6, 1, {1, 2})));
  EXPECT_FALSE(passed.Remember(Of(5, 1, {1, 2, 3})));
  EXPECT_FALSE(passed.Remember(Of(0, 0, {1, 2})));
  EXPECT_FALSE(passed.Remember(Of(0, 0, {1, 2})));
}

// The database was restored, or its standby took over, without what had been there.
TEST(PassedOnTest, AnotherEntryInTheSamePlaceIsAnother) {
  PassedOn passed(100);
  auto publication = Of(5, 1, {1, 2});
  publication.set_event("what was lost");
  EXPECT_FALSE(passed.Remember(publication));
  publication.set_event("what came instead");
  EXPECT_FALSE(passed.Remember(publication));
  EXPECT_TRUE(passed.Remember(publication));
}

TEST(PassedOnTest, ForgetsTheOldest) {
  PassedOn passed(3);
  for (int seq = 1; seq <= 4; ++seq) EXPECT_FALSE(passed.Remember(Of(5, seq, {1})));
  EXPECT_TRUE(passed.Remember(Of(5, 4, {1})));
  EXPECT_FALSE(passed.Remember(Of(5, 1, {1})));
}

TEST(RendezvousTest, MovesOnlyTheKeysOfTheOneThatGoes) {
  const std::vector<std::string> three = {"a:1", "b:1", "c:1"};
  const auto best = [](const std::vector<std::string>& of, uint64_t key) {
    return *std::max_element(of.begin(), of.end(), [&](const auto& x, const auto& y) {
      return RendezvousWeight(x, key) < RendezvousWeight(y, key);
    });
  };
  int moved = 0;
  for (uint64_t key = 0; key < 3000; ++key) {
    const std::string before = best(three, key);
    const std::string after = best({"a:1", "b:1"}, key);
    if (before == "c:1") {
      ++moved;
    } else {
      EXPECT_EQ(before, after);
    }
  }
  EXPECT_GT(moved, 800);
  EXPECT_LT(moved, 1200);
}

TEST(RouteTest, FindsThePackage) {
  EXPECT_EQ(PackageOf("/im.chat.v1.MessageService/SendMessage"), "im.chat.v1");
  for (const char* bad : {"", "/", "x", "/x/y", "im.chat.v1.X/Y"}) EXPECT_EQ(PackageOf(bad), "");
}

}  // namespace
}  // namespace im::gateway
