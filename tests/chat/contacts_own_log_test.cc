// Reading the own log for resumes and catch-ups.
#include "tests/chat/contacts_world.h"

namespace im::chat {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class ContactsOwnLogTest : public ContactsWorld {
 protected:
  std::string Micros(const std::string& sql) {
    return "(extract(epoch FROM " + sql + ") * 1000000)::bigint";
  }
  int64_t Now() { return std::stoll(database_.Value("SELECT " + Micros("clock_timestamp()"))); }
};

TEST_F(ContactsOwnLogTest, NobodyHasALogThatIsEmpty) {
  const absl::StatusOr<OwnLogPage> page = own_log_.Read(kAnn, 0, 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(page->records, IsEmpty());
  EXPECT_EQ(page->position, 0);
  EXPECT_FALSE(page->more);
}

TEST_F(ContactsOwnLogTest, RecordsSayWhatHoldsNow) {
  ASSERT_TRUE(contacts_.Request(kBob, kAnn, New(), "hi").ok());
  ASSERT_TRUE(contacts_.Block(kAnn, kEve, New()).ok());
  ASSERT_TRUE(contacts_.UpdateSettings(kAnn, Reachability::kAnyone, New()).ok());
  database_.Exec(
      "SELECT chat.open_direct(1, 2); UPDATE chat.members SET read_seq = 9 WHERE user_id = 1; "
      "SELECT chat.log_own(1, 3::smallint, id) FROM chat.conversations WHERE high_user_id = 2");
  const OwnLogPage page = *own_log_.Read(kAnn, 0, 10);
  ASSERT_THAT(page.records, SizeIs(4));
  EXPECT_EQ(page.position, 4);
  EXPECT_FALSE(page.more);
  const v1::Contact& bob = page.records[0].contact();
  EXPECT_EQ(bob.user_id(), kBob);
  EXPECT_EQ(bob.state(), v1::CONTACT_STATE_REQUEST_RECEIVED);
  EXPECT_EQ(bob.greeting(), "hi");
  EXPECT_FALSE(bob.blocked());
  EXPECT_GT(bob.since().seconds(), 0);
  EXPECT_EQ(page.records[1].contact().user_id(), kEve);
  EXPECT_EQ(page.records[1].contact().state(), v1::CONTACT_STATE_NONE);
  EXPECT_TRUE(page.records[1].contact().blocked());
  EXPECT_EQ(page.records[2].settings().reachability(), v1::REACHABILITY_ANYONE);
  EXPECT_EQ(page.records[3].read_mark().read_seq(), 9);
  EXPECT_GT(page.records[3].read_mark().conversation_id(), 0);

  const v1::OwnLogChanged changed = ToChanged(0, page);
  EXPECT_EQ(changed.after_position(), 0);
  EXPECT_EQ(changed.position(), 4);
  EXPECT_EQ(changed.records_size(), 4);
}

TEST_F(ContactsOwnLogTest, PagesSayHowFarTheyReach) {
  for (int64_t other = 10; other < 15; ++other) {
    ASSERT_TRUE(contacts_.Request(other, kAnn, New(), "").ok());
  }
  OwnLogPage page = *own_log_.Read(kAnn, 0, 2);
  EXPECT_THAT(page.records, SizeIs(2));
  EXPECT_EQ(page.position, 2);
  EXPECT_TRUE(page.more);
  page = *own_log_.Read(kAnn, page.position, 3);
  EXPECT_THAT(page.records, SizeIs(3));
  EXPECT_EQ(page.position, 5);
  EXPECT_FALSE(page.more);
  // A record that changed moves to the end; the place it had is not missed.
  ASSERT_TRUE(contacts_.Withdraw(12, kAnn, New()).ok());
  page = *own_log_.Read(kAnn, 2, 10);
  EXPECT_THAT(page.records, SizeIs(3));
  EXPECT_EQ(page.records.back().contact().user_id(), 12);
  EXPECT_EQ(page.position, 6);
  // The position alone, and a device that says it has more than there is.
  EXPECT_EQ(own_log_.Read(kAnn, 0, 0)->position, 6);
  EXPECT_EQ(own_log_.Read(kAnn, 99, 10)->position, 6);
  EXPECT_THAT(own_log_.Read(kAnn, 99, 10)->records, IsEmpty());
}

TEST_F(ContactsOwnLogTest, WhatChangedSinceThenIsToldAgain) {
  ASSERT_TRUE(contacts_.Request(10, kAnn, New(), "").ok());
  ASSERT_TRUE(contacts_.Request(11, kAnn, New(), "").ok());
  ASSERT_TRUE(contacts_.Request(10, kBob, New(), "").ok());
  const int64_t since = Now();
  EXPECT_THAT(*own_log_.ChangedSince({kAnn, kBob, kEve}, since), IsEmpty());
  ASSERT_TRUE(contacts_.Request(12, kAnn, New(), "").ok());
  ASSERT_TRUE(contacts_.Withdraw(12, kAnn, New()).ok());
  ASSERT_TRUE(contacts_.Request(13, kAnn, New(), "").ok());
  const std::vector<OwnLogNews> news = *own_log_.ChangedSince({kBob, kAnn, kEve}, since);
  ASSERT_THAT(news, SizeIs(1));
  EXPECT_EQ(news[0].user_id, kAnn);
  // Position 3 was replaced by 4, so that whoever has 2 lacks nothing.
  EXPECT_EQ(news[0].changed.after_position(), 2);
  EXPECT_EQ(news[0].changed.position(), 5);
  ASSERT_EQ(news[0].changed.records_size(), 2);
  EXPECT_EQ(news[0].changed.records(0).position(), 4);
  EXPECT_EQ(news[0].changed.records(0).contact().user_id(), 12);
  EXPECT_EQ(news[0].changed.records(1).position(), 5);
  EXPECT_THAT(*own_log_.ChangedSince({kAnn, kBob}, 0), SizeIs(2));
  EXPECT_THAT(*own_log_.ChangedSince({}, 0), IsEmpty());
}

TEST_F(ContactsOwnLogTest, AClockThatWasSetBackLeavesNoHole) {
  ASSERT_TRUE(contacts_.Request(10, kAnn, New(), "").ok());
  ASSERT_TRUE(contacts_.Request(11, kAnn, New(), "").ok());
  ASSERT_TRUE(contacts_.Request(12, kAnn, New(), "").ok());
  const int64_t since = Now();
  database_.Exec(
      "UPDATE chat.own_log SET changed_at = changed_at + interval '1 hour' "
      "WHERE user_id = 1 AND position = 2");
  const std::vector<OwnLogNews> news = *own_log_.ChangedSince({kAnn}, since);
  ASSERT_THAT(news, SizeIs(1));
  EXPECT_EQ(news[0].changed.after_position(), 1);
  EXPECT_EQ(news[0].changed.records_size(), 2);
}

TEST_F(ContactsOwnLogTest, TooMuchNewsIsLeftToHave) {
  database_.Exec(
      "INSERT INTO chat.contacts (user_id, other_user_id, state) "
      "SELECT 1, i, 3 FROM generate_series(1000, 1300) i; "
      "SELECT chat.log_own(1, 1::smallint, i) FROM generate_series(1000, 1300) i");
  const std::vector<OwnLogNews> news = *own_log_.ChangedSince({kAnn}, 0);
  ASSERT_THAT(news, SizeIs(1));
  EXPECT_EQ(news[0].changed.records_size(), 0);
  EXPECT_EQ(news[0].changed.after_position(), 301);
  EXPECT_EQ(news[0].changed.position(), 301);
}

}  // namespace
}  // namespace im::chat
