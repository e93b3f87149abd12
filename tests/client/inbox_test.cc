#include "client/inbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace im::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kMe = 1;

chat::v1::Entry Message(int64_t seq, int64_t conversation_id = 5) {
  chat::v1::Entry entry;
  entry.set_conversation_id(conversation_id);
  entry.set_seq(seq);
  entry.set_sender_user_id(2);
  entry.mutable_message()->mutable_text()->set_body("m");
  return entry;
}

chat::v1::Entry Added(int64_t seq, int64_t first_seq) {
  chat::v1::Entry entry = Message(seq);
  entry.mutable_members_added()->add_user_ids(kMe);
  entry.mutable_members_added()->set_first_seq(first_seq);
  return entry;
}

chat::v1::Entry Removed(int64_t seq) {
  chat::v1::Entry entry = Message(seq);
  entry.mutable_member_removed()->set_user_id(kMe);
  return entry;
}

chat::v1::Conversation Group(std::vector<std::vector<int64_t>> stays, int64_t last_seq) {
  chat::v1::Conversation group;
  group.set_conversation_id(5);
  group.set_kind(chat::v1::CONVERSATION_KIND_GROUP);
  group.set_last_seq(last_seq);
  for (const auto& one : stays) {
    auto* stay = group.add_stays();
    stay->set_first_seq(one[0]);
    stay->set_join_seq(one[1]);
    if (one.size() > 2) stay->set_end_seq(one[2]);
  }
  return group;
}

class InboxTest : public ::testing::Test, public Inbox::Host {
 protected:
  InboxTest() : inbox_(this) { inbox_.SetUser(kMe); }

  void Apply(const chat::v1::Entry& entry) override { applied_.push_back(entry.seq()); }
  void LoadSoon(int64_t id) override { asked_.push_back(absl::StrCat("soon ", id)); }
  void Load(int64_t id, int64_t after, int64_t to) override {
    asked_.push_back(absl::StrCat("load ", id, " ", after, "-", to));
  }
  void Look(int64_t id) override { asked_.push_back(absl::StrCat("look ", id)); }

  void Get(std::vector<int64_t> seqs) {
    for (const int64_t seq : seqs) inbox_.OnEntry(Message(seq));
  }
  void Page(std::vector<chat::v1::Entry> entries) {
    chat::v1::ListEntriesResponse page;
    for (const auto& entry : entries) *page.add_entries() = entry;
    inbox_.Loaded(5, page);
  }

  Inbox inbox_;
  std::vector<int64_t> applied_;
  std::vector<std::string> asked_;
};

TEST_F(InboxTest, AppliesTheNextAndDropsTheOlder) {
  Get({1, 2, 2, 1, 3});
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3));
  EXPECT_EQ(inbox_.repeats(), 2);
  EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(InboxTest, LoadsWhatLiesBetween) {
  Get({1, 4, 5});
  EXPECT_THAT(applied_, ElementsAre(1));
  EXPECT_THAT(asked_, ElementsAre("soon 5"));
  inbox_.LoadNow(5);
  EXPECT_THAT(asked_, ElementsAre("soon 5", "load 5 1-3"));
  Page({Message(2)});
  Get({6});
  Page({Message(3)});
  inbox_.LoadDone(5, 3);
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3, 4, 5, 6));
}

// A resume may bring what a load was begun for, and says that it is over without waiting for that.
TEST_F(InboxTest, WhatIsNextWaitsForNoLoad) {
  Get({1, 4});
  inbox_.LoadNow(5);
  Get({2, 3});
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3, 4));
  Get({5, 7});
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3, 4, 5));
  Page({Message(2), Message(3)});
  inbox_.LoadDone(5, 3);
  EXPECT_THAT(asked_, ElementsAre("soon 5", "load 5 1-3", "soon 5"));
  inbox_.LoadNow(5);
  Page({Message(6)});
  inbox_.LoadDone(5, 6);
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3, 4, 5, 6, 7));
}

TEST_F(InboxTest, NeedsNoLoadWhenTheMissingOnesWereOnlyOvertaken) {
  Get({1, 3, 4, 2});
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3, 4));
  inbox_.LoadNow(5);
  EXPECT_THAT(asked_, ElementsAre("soon 5"));
}

TEST_F(InboxTest, AGapCountsAsHad) {
  Get({1});
  chat::v1::Gap gap;
  gap.set_conversation_id(5);
  gap.set_from_seq(2);
  gap.set_to_seq(90);
  inbox_.OnGap(gap);
  Get({91, 92});
  EXPECT_THAT(applied_, ElementsAre(1, 91, 92));
}

TEST_F(InboxTest, ExpectsNothingBetweenStays) {
  inbox_.Learn(Group({{3, 3}}, 4));
  Get({3, 4});
  inbox_.OnEntry(Removed(5));
  inbox_.OnEntry(Added(20, 20));
  Get({21});
  EXPECT_THAT(applied_, ElementsAre(3, 4, 5, 20, 21));
  EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(InboxTest, ANewStayDoesNotHideTheEndOfTheOldOne) {
  inbox_.Learn(Group({{3, 3}}, 4));
  Get({3, 4});
  inbox_.OnEntry(Added(20, 20));
  EXPECT_THAT(applied_, ElementsAre(3, 4));
  inbox_.LoadNow(5);
  EXPECT_THAT(asked_, ElementsAre("soon 5", "load 5 4-19"));
  Page({Removed(5)});
  inbox_.LoadDone(5, 19);
  EXPECT_THAT(applied_, ElementsAre(3, 4, 5, 20));
}

TEST_F(InboxTest, OpenHistoryMayBeginAnywhereUpToTheJoin) {
  inbox_.Learn(Group({{1, 10}}, 10));
  Get({8, 9, 10, 11});
  EXPECT_THAT(applied_, ElementsAre(8, 9, 10, 11));
  EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(InboxTest, LooksAtAConversationThatBeginsInTheMiddle) {
  Get({12});
  EXPECT_THAT(asked_, ElementsAre("look 5"));
  inbox_.Learn(Group({{1, 10}}, 12));
  inbox_.LookDone(5);
  EXPECT_THAT(asked_, ElementsAre("look 5", "soon 5"));
  inbox_.LoadNow(5);
  EXPECT_EQ(asked_.back(), "load 5 9-11");
}

TEST_F(InboxTest, LooksAtANewStayOfAGroupItDoesNotKnow) {
  // An earlier stay may have passed unseen.
  inbox_.OnEntry(Added(20, 20));
  EXPECT_THAT(asked_, ElementsAre("look 5"));
  inbox_.Learn(Group({{5, 5, 6}, {20, 20}}, 20));
  inbox_.LookDone(5);
  inbox_.LoadNow(5);
  EXPECT_EQ(asked_.back(), "load 5 4-19");
  Page({Added(5, 5), Removed(6)});
  inbox_.LoadDone(5, 19);
  EXPECT_THAT(applied_, ElementsAre(5, 6, 20));
}

TEST_F(InboxTest, WhatIsListedCountsAsHad) {
  inbox_.BeginListing();
  Get({12, 13});
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_TRUE(inbox_.Listed(Group({{1, 1}}, 12)));
  EXPECT_THAT(applied_, ElementsAre(13));
  EXPECT_FALSE(inbox_.Listed(Group({{1, 1}}, 13)));
}

// Entries of before came live, for an instance caught up, but not all of them.
TEST_F(InboxTest, WhatIsListedBeyondWhatCameLiveIsLoaded) {
  inbox_.BeginListing();
  Get({1, 2});
  EXPECT_FALSE(inbox_.Listed(Group({{1, 1}}, 4)));
  inbox_.EndListing();
  EXPECT_THAT(asked_, ElementsAre("soon 5"));
  inbox_.LoadNow(5);
  EXPECT_THAT(asked_, ElementsAre("soon 5", "load 5 2-4"));
  Page({Message(3), Message(4)});
  inbox_.LoadDone(5, 4);
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3, 4));
  Get({5});
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(InboxTest, OpenHistoryFromTheStartDoesNotMakeAStay) {
  inbox_.Learn(Group({{1, 3}}, 3));
  chat::v1::Entry created = Message(1);
  created.mutable_group_created()->add_user_ids(2);
  inbox_.OnEntry(created);
  Get({2});
  inbox_.OnEntry(Added(3, 1));
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3));
  EXPECT_EQ(inbox_.Known()[0].stays_size(), 1);
}

TEST_F(InboxTest, LoadsWhatFoundNoRoom) {
  Get({1});
  for (int64_t seq = 3; seq < 3 + 600; ++seq) Get({seq});
  inbox_.LoadNow(5);
  EXPECT_EQ(asked_.back(), "load 5 1-2");
  Page({Message(2)});
  inbox_.LoadDone(5, 2);
  EXPECT_EQ(applied_.back(), 514);
  inbox_.LoadNow(5);
  EXPECT_EQ(asked_.back(), "load 5 514-602");
}

TEST_F(InboxTest, AbandonForgetsWhatWaitsButNotWhatIsHad) {
  Get({1, 2, 9});
  inbox_.OnEntry(Message(7, 6));
  inbox_.Abandon();
  chat::v1::Have have;
  inbox_.FillHave(&have);
  ASSERT_EQ(have.conversations_size(), 1);
  EXPECT_EQ(have.conversations(0).seq(), 2);
  Get({3});
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3));
}

TEST_F(InboxTest, GoesOnFromAnEarlierRun) {
  Get({1, 2});
  chat::v1::WatermarkChanged mark;
  mark.set_conversation_id(5);
  mark.mutable_watermark()->set_user_id(2);
  mark.mutable_watermark()->set_read_seq(1);
  mark.mutable_watermark()->set_delivered_seq(3);
  inbox_.OnWatermark(mark);
  chat::v1::Have have;
  inbox_.FillHave(&have);
  // They sent the second, so they have read it.
  EXPECT_EQ(have.conversations(0).peer_read_seq(), 2);
  EXPECT_EQ(have.conversations(0).peer_delivered_seq(), 3);

  Inbox next(this);
  next.SetUser(kMe);
  next.Restore(have, inbox_.Known());
  next.OnEntry(Message(3));
  next.OnEntry(Message(2));
  EXPECT_THAT(applied_, ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace im::client
