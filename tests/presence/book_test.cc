// Presence: who sees what of whom.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/presence/book_fixture.h"

namespace im::presence {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST_F(BookTest, ContactsSeeEachOtherAndStrangersNothing) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Connect(kCarol, 3);
  Second();
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
  EXPECT_EQ(Shows(kCarol, kAlice), Status::kOffline);
  EXPECT_THAT(screens_[kCarol], IsEmpty());
}

TEST_F(BookTest, ANewSessionGetsTheWholePictureOfThoseWhoAreThere) {
  Settle();
  Contacts(kAlice, kBob);
  Contacts(kAlice, kCarol);
  Connect(kBob, 2, Status::kBusy);
  Second();
  Connect(kAlice, 1);
  Second();
  ASSERT_FALSE(portraits_.empty());
  const Portrait& last = portraits_.back();
  EXPECT_EQ(last.session, (SessionKey{kLink, 1}));
  EXPECT_TRUE(last.complete);
  EXPECT_THAT(last.present, ElementsAre(Pair(kBob, Status::kBusy)));
}

TEST_F(BookTest, APersonIsTheMergeOfTheirDevices) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kBob, 2);
  const auto bob_sees = [&](Status phone, Status desktop) {
    Connect(kAlice, 11, phone, 101);
    Connect(kAlice, 12, desktop, 102);
    Second();
    const Status shown = Shows(kBob, kAlice);
    Leave(11);
    Leave(12);
    Second();
    EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
    return shown;
  };
  EXPECT_EQ(bob_sees(Status::kOnline, Status::kBusy), Status::kBusy);
  EXPECT_EQ(bob_sees(Status::kAway, Status::kOnline), Status::kOnline);
  EXPECT_EQ(bob_sees(Status::kAway, Status::kInvisible), Status::kAway);
  EXPECT_EQ(bob_sees(Status::kInvisible, Status::kInvisible), Status::kOffline);
}

TEST_F(BookTest, ChangesOfOneSecondAreOneChangeOrNone) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  told_ = 0;
  Set(1, Status::kAway);
  Set(1, Status::kOnline);
  Set(1, Status::kBusy);
  Second();
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kBusy);
  const uint64_t coalesced = book_->counters().coalesced;
  Leave(1);
  Connect(kAlice, 3, Status::kBusy);
  Second();
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(book_->counters().coalesced, coalesced + 1);
}

TEST_F(BookTest, OnlyThoseConnectedCostAnything) {
  Settle();
  for (UserId friend_id = 1000; friend_id < 2000; ++friend_id) Contacts(kAlice, friend_id);
  Connect(kAlice, 1);
  Connect(1500, 2);
  Second();
  told_ = 0;
  Set(1, Status::kAway);
  Second();
  EXPECT_EQ(told_, 1);
}

TEST_F(BookTest, OfflineCarriesTheTimeLastSeen) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  Leave(1);
  const WallTime left = now_.wall;
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
  EXPECT_EQ(last_seen_[kAlice], left);
  EXPECT_EQ(book_->roster().FindUnsaved(kAlice), left);
}

TEST_F(BookTest, InvisibleLeavesNoTrace) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kBob, 2);
  Connect(kAlice, 1, Status::kInvisible);
  Seconds(2);
  Leave(1);
  Second();
  EXPECT_FALSE(screens_[kBob].contains(kAlice));
  EXPECT_EQ(book_->roster().FindUnsaved(kAlice), std::nullopt);
}

TEST_F(BookTest, GoingInvisibleIsLeaving) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kBob, 2);
  Connect(kAlice, 1);
  Second();
  Set(1, Status::kInvisible);
  const WallTime hid = now_.wall;
  Seconds(3);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
  EXPECT_EQ(last_seen_[kAlice], hid);
  Leave(1);
  Second();
  EXPECT_EQ(book_->roster().FindUnsaved(kAlice), hid);
}

TEST_F(BookTest, TheNewestSessionOfADeviceDecides) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kBob, 2);
  Connect(kAlice, 1, Status::kOnline);
  Second();
  // The old stream is dead, but nobody noticed yet.
  Connect(kAlice, 3, Status::kInvisible);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
}

TEST_F(BookTest, AStatusSetByACallOutlastsTheSessionsBeingOpenedAgain) {
  Settle();
  Contacts(kAlice, kBob);
  book_->roster().LinkUp(11, "other", now_);
  book_->roster().Announced(11, now_);
  Connect(kBob, 2);
  Connect(kAlice, 1, Status::kOnline, 0, 11);
  Second();
  EXPECT_THAT(book_->roster().SetDeviceStatus(kAlice, 100, Status::kInvisible, now_),
              ElementsAre(SessionKey{11, 1}));
  Second();
  told_ = 0;
  // Its gateway asks for a new picture, and then loses its link; it knows of no other status.
  Connect(kAlice, 1, Status::kOnline, 0, 11);
  Second();
  book_->roster().LinkDown(11, now_);
  book_->roster().LinkUp(12, "other", now_);
  Connect(kAlice, 1, Status::kOnline, 0, 12);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
  EXPECT_EQ(told_, 0);
  // Another stream of the device starts as its Hello says.
  Connect(kAlice, 7, Status::kOnline, 0, 12);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
}

TEST_F(BookTest, OnlyThePrimaryInstanceTells) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kBob, 2);
  Second();
  book_->Open({kLink, 1}, kAlice, 100, Status::kOnline, /*primary=*/false, now_);
  Deliver();
  Second();
  EXPECT_FALSE(screens_[kBob].contains(kAlice));
  EXPECT_EQ(book_->See(kBob, {kAlice}, now_.steady)->at(0).status, Status::kOnline);
  EXPECT_EQ(book_->roster().FindUnsaved(kAlice), std::nullopt);
}

TEST_F(BookTest, ACallerWithoutAStreamMayAsk) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kBob, 2);
  Second();
  EXPECT_EQ(book_->See(kAlice, {kBob}, now_.steady), std::nullopt);
  book_->Watch(kAlice, now_);
  Deliver();
  const auto seen = book_->See(kAlice, {kBob, kCarol, kAlice}, now_.steady);
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->at(0).status, Status::kOnline);
  EXPECT_FALSE(seen->at(1).may_see);
  EXPECT_TRUE(seen->at(2).may_see);
  Seconds(31);
  EXPECT_THAT(watched_, UnorderedElementsAre(kBob)) << "and is forgotten";
}

TEST_F(BookTest, ThoseWhoLeftAreForgotten) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  Leave(1);
  Seconds(32);
  EXPECT_THAT(watched_, UnorderedElementsAre(kBob));
  EXPECT_EQ(book_->roster().users_connected(), 1u);
}

TEST_F(BookTest, WhatCouldNotBeStoredIsTakenAgain) {
  Settle();
  Connect(kAlice, 1);
  const auto taken = book_->roster().TakeUnsaved(10);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_TRUE(book_->roster().FindUnsaved(kAlice).has_value());
  book_->roster().Saved(false);
  EXPECT_EQ(book_->roster().TakeUnsaved(10), taken);
  book_->roster().Saved(true);
  EXPECT_THAT(book_->roster().TakeUnsaved(10), IsEmpty());
}

}  // namespace
}  // namespace im::presence
