#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/chat/resume_fixture.h"

namespace im::chat {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(ResumeTest, WhoHasNothingGetsTheNewestOfAll) {
  const int64_t old = chat_.Group(kAlice, {kBob});
  const int64_t direct = chat_.Direct(kAlice, kBob);
  const int64_t silent = chat_.Direct(kAlice, kCarol);
  chat_.Say(direct, kBob, "x", 2);
  const int64_t busy = chat_.Group(kAlice, {kBob}, "busy");
  chat_.Say(busy, kAlice, "x", 99);
  const Resumed resumed = Resume(1, Have());
  EXPECT_THAT(resumed.conversations, ElementsAre(busy, direct, old));
  EXPECT_EQ(resumed.by_conversation.at(busy), Join({"c100", "g1-50"}, Entries(51, 100)));
  EXPECT_THAT(resumed.by_conversation.at(direct), ElementsAre("c2", "e1", "e2"));
  EXPECT_THAT(resumed.by_conversation.at(old), ElementsAre("c1", "e1"));
  EXPECT_EQ(resumed.by_conversation.count(silent), 0u);
  EXPECT_FALSE(resumed.end.has_failure());
  EXPECT_EQ(resumed.events[0].conversation().title(), "busy");
  EXPECT_FALSE(resumed.events[0].conversation().has_last_entry());
  EXPECT_EQ(resumed.events.back().entry().group_created().title(), "group");
  EXPECT_EQ(passes_->size(), 0u);

  v1::Have listing = Have();
  listing.set_only_listed(true);
  EXPECT_THAT(Resume(1, listing).events, IsEmpty());
}

TEST_F(ResumeTest, WhoHasAllGetsNothing) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  const int64_t direct = chat_.Direct(kAlice, kBob);
  chat_.Say(group, kAlice, "x", 3);
  chat_.Say(direct, kAlice, "x");
  EXPECT_THAT(Resume(1, Have({{group, 4}, {direct, 1}})).events, IsEmpty());
  // More than there is: nothing either.
  EXPECT_THAT(Resume(1, Have({{group, 4000}, {direct, INT64_MAX}})).events, IsEmpty());
}

TEST_F(ResumeTest, WhatIsMissingComesInOrder) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  const int64_t other = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kBob, "x", 9);
  const Resumed resumed = Resume(1, Have({{group, 7}, {other, 1}}));
  EXPECT_THAT(resumed.conversations, ElementsAre(group));
  EXPECT_THAT(resumed.by_conversation.at(group), ElementsAre("c10", "e8", "e9", "e10"));
}

TEST_F(ResumeTest, UpToTwoHundredComeMoreLeaveAGap) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kBob, "x", 299);
  EXPECT_EQ(Resume(1, Have({{group, 100}})).by_conversation.at(group),
            Join({"c300"}, Entries(101, 300)));
  EXPECT_EQ(Resume(1, Have({{group, 99}})).by_conversation.at(group),
            Join({"c300", "g100-250"}, Entries(251, 300)));
  EXPECT_EQ(Resume(1, Have({{group, 0}})).by_conversation.at(group),
            Join({"c300", "g1-250"}, Entries(251, 300)));
}

TEST_F(ResumeTest, RefusesWhatIsNoHave) {
  gateway_->HaveBytes(1, "\xff");
  const internal::v1::ResumeEnd end = Receive(1).end;
  EXPECT_EQ(end.failure().reason(), "MALFORMED_REQUEST");
  EXPECT_EQ(end.failure().code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
}

TEST_F(ResumeTest, GapsKeepInsideTheStays) {
  const int64_t group = chat_.Group(kAlice, {kBob});  // 1
  chat_.Say(group, kAlice, "x", 149);                 // 2..150
  chat_.Leave(group, kBob);                           // 151
  chat_.Say(group, kAlice, "secret", 99);             // 152..250
  chat_.Return(group, kBob);                          // 251
  chat_.Say(group, kAlice, "x", 99);                  // 252..350
  EXPECT_EQ(Resume(2, Have({{group, 10}})).by_conversation.at(group),
            Join({"c350", "g11-151", "g251-300"}, Entries(301, 350)));
  EXPECT_EQ(Resume(2, Have({{group, 100}})).by_conversation.at(group),
            Join({"c350"}, Join(Entries(101, 151), Entries(251, 350))));
  EXPECT_EQ(Resume(2, Have({{group, 151}})).by_conversation.at(group),
            Join({"c350"}, Entries(251, 350)));
  // What lies between the stays is nothing anybody can have: it is as if they had the end.
  EXPECT_EQ(Resume(2, Have({{group, 200}})).by_conversation.at(group),
            Join({"c350"}, Entries(251, 350)));
  const Resumed all = Resume(2, Have());
  EXPECT_EQ(all.by_conversation.at(group), Join({"c350", "g1-151", "g251-300"}, Entries(301, 350)));
  ASSERT_THAT(all.events[0].conversation().stays(), SizeIs(2));
  EXPECT_EQ(all.events[0].conversation().stays(0).end_seq(), 151);
}

TEST_F(ResumeTest, AStayThatEndedIsSentToItsEnd) {
  const int64_t group = chat_.Group(kAlice, {kBob});  // 1
  chat_.Say(group, kAlice, "x", 2);                   // 2, 3
  chat_.Remove(group, kAlice, kBob);                  // 4
  chat_.Say(group, kAlice, "secret", 5);
  const Resumed resumed = Resume(2, Have({{group, 2}}));
  EXPECT_THAT(resumed.by_conversation.at(group), ElementsAre("c4", "e3", "e4"));
  EXPECT_EQ(resumed.events[0].conversation().stays(0).end_seq(), 4);
  EXPECT_EQ(resumed.events[2].entry().member_removed().user_id(), kBob);
  EXPECT_THAT(Resume(2, Have({{group, 4}})).events, IsEmpty());
  EXPECT_THAT(Resume(2, Have()).by_conversation.at(group),
              ElementsAre("c4", "e1", "e2", "e3", "e4"));
}

TEST_F(ResumeTest, AGroupThatShowsItsHistory) {
  const int64_t group = chat_.Group(kAlice, {}, "open", /*open_history=*/true);
  chat_.Say(group, kAlice, "x", 9);
  chat_.Add(group, kAlice, {kBob});  // 11
  EXPECT_EQ(Resume(2, Have()).by_conversation.at(group), Join({"c11"}, Entries(1, 11)));
  chat_.Leave(group, kBob);          // 12
  chat_.Say(group, kAlice, "x", 3);  // 13..15
  EXPECT_EQ(Resume(2, Have({{group, 11}})).by_conversation.at(group),
            Join({"c12"}, Entries(12, 12)));
  chat_.Return(group, kBob);  // 16
  EXPECT_EQ(Resume(2, Have({{group, 12}})).by_conversation.at(group),
            Join({"c16"}, Entries(13, 16)));
}

TEST_F(ResumeTest, StaysOfLongAgoAreOneGap) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  for (int i = 0; i < 105; ++i) {
    chat_.Leave(group, kBob);
    chat_.Return(group, kBob);
  }
  // 1 joined; 2 left, 3 returned; ...: stays [1,2], [3,4], ..., [211, ...]. The view has the last
  // 100 of 106.
  const Resumed resumed = Resume(2, Have());
  EXPECT_EQ(resumed.by_conversation.at(group)[0], "c211");
  EXPECT_EQ(resumed.by_conversation.at(group)[1], "g1-12");
  EXPECT_EQ(resumed.by_conversation.at(group).back(), "e211");
  EXPECT_THAT(resumed.events[0].conversation().stays(), SizeIs(100));
}

TEST_F(ResumeTest, OthersConversationsAreIgnored) {
  const int64_t theirs = chat_.Group(kBob, {kCarol});
  const int64_t direct = chat_.Direct(kBob, kCarol);
  chat_.Say(theirs, kBob, "secret", 5);
  chat_.Say(direct, kBob, "secret", 5);
  v1::Have have = Have({{theirs, 1}, {direct, 0}, {999999, 1}, {-5, 3}, {0, 0}});
  have.mutable_conversations(1)->set_peer_read_seq(3);
  EXPECT_THAT(Resume(1, have).events, IsEmpty());
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(chat_.Number("SELECT count(*) FROM chat.members WHERE user_id = 101"), 0);
}

TEST_F(ResumeTest, AnotherEpochCountsAsNothing) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  v1::Have have = Have({{group, 1}});
  have.set_own_log_position(12);
  have.set_epoch(kEpoch + 1);
  const Resumed resumed = Resume(1, have);
  EXPECT_THAT(resumed.by_conversation.at(group), ElementsAre("c1", "e1"));
  EXPECT_EQ(resumed.end.own_log_position(), 0);
  have.set_only_listed(true);
  EXPECT_THAT(Resume(1, have).events, IsEmpty());
}

TEST_F(ResumeTest, ThePeersWatermark) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, "x");
  chat_.Say(direct, kAlice, "x", 5);
  ASSERT_TRUE(watermarks_.MarkRead(kBob, direct, 3).ok());
  ASSERT_TRUE(watermarks_.MarkRead(kBob, group, 2).ok());
  v1::Have have = Have({{direct, 5}, {group, 2}});
  have.set_own_log_position(1);
  Resumed resumed = Resume(1, have);
  EXPECT_THAT(resumed.conversations, ElementsAre(direct));
  EXPECT_THAT(resumed.by_conversation.at(direct), ElementsAre("w:3/3"));
  have.mutable_conversations(0)->set_peer_read_seq(3);
  have.mutable_conversations(0)->set_peer_delivered_seq(3);
  EXPECT_THAT(Resume(1, have).events, IsEmpty());
  have.mutable_conversations(0)->set_peer_delivered_seq(2);
  EXPECT_THAT(Resume(1, have).by_conversation.at(direct), ElementsAre("w:3/3"));
  have.mutable_conversations(0)->set_seq(4);
  EXPECT_THAT(Resume(1, have).by_conversation.at(direct), ElementsAre("c5", "w:3/3", "e5"));
}

TEST_F(ResumeTest, WhatADeviceHasIsDelivered) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  chat_.Say(direct, kAlice, "x", 5);
  Resume(2, Have({{direct, 3}}));
  ASSERT_TRUE(watermarks_.Flush().ok());
  const std::string delivered =
      "SELECT delivered_seq FROM chat.members WHERE user_id = 102 AND conversation_id = " +
      std::to_string(direct);
  EXPECT_EQ(chat_.Number(delivered), 3);
  Resume(2, Have({{direct, 500}}));
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(chat_.Number(delivered), 5);
}

TEST_F(ResumeTest, TheOwnLog) {
  std::vector<std::pair<int64_t, int64_t>> all;
  for (int i = 0; i < 250; ++i) {
    const int64_t group = chat_.Group(kBob, {kAlice});
    chat_.Say(group, kBob, "x");
    ASSERT_TRUE(watermarks_.MarkRead(kAlice, group, 2).ok());
    all.emplace_back(group, 2);
  }
  v1::Have have = Have(all);
  have.set_own_log_position(20);
  const Resumed resumed = Resume(1, have);
  EXPECT_THAT(resumed.conversations, IsEmpty());
  EXPECT_EQ(resumed.end.own_log_position(), 250);
  int64_t position = 20;
  for (const v1::OwnLogChanged& page : resumed.own_log) {
    EXPECT_EQ(page.after_position(), position);
    for (const v1::OwnRecord& record : page.records()) {
      EXPECT_EQ(record.position(), ++position);
      EXPECT_EQ(record.read_mark().read_seq(), 2);
    }
    EXPECT_EQ(page.position(), position);
  }
  EXPECT_EQ(position, 250);
  have.set_own_log_position(250);
  EXPECT_THAT(Resume(1, have).events, IsEmpty());
}

}  // namespace
}  // namespace im::chat
