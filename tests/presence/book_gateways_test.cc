// Presence: gateways and devices that vanish, and come back or do not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/presence/book_fixture.h"

namespace im::presence {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class BookGatewaysTest : public BookTest {};

TEST_F(BookGatewaysTest, AGatewayThatVanishesKeepsItsSessionsUntilItsLeaseLapses) {
  Settle();
  Contacts(kAlice, kBob);
  book_->roster().LinkUp(11, "other", now_);
  book_->roster().Announced(11, now_);
  Connect(kAlice, 1, Status::kOnline, 0, 11);
  Connect(kBob, 2);
  gateways_ = {"gateway", "other"};
  Second();
  book_->roster().LinkDown(11, now_);
  const WallTime broke = now_.wall;
  Seconds(12);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline) << "the lease lives";
  database_up_ = false;
  gateways_ = {"gateway"};
  Seconds(20);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline) << "the leases cannot be read";
  database_up_ = true;
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
  EXPECT_EQ(last_seen_[kAlice], broke);
}

TEST_F(BookGatewaysTest, ALapsedLeaseAloneEndsNobodyWhileTheGatewayMayBeOnItsWayBack) {
  Settle();
  Contacts(kAlice, kBob);
  book_->roster().LinkUp(11, "other", now_);
  book_->roster().Announced(11, now_);
  Connect(kAlice, 1, Status::kOnline, 0, 11);
  Connect(kBob, 2);
  Second();
  // This process was stopped: the lease lapsed meanwhile, and the link turns out to be dead.
  gateways_ = {"gateway"};
  book_->roster().LinkDown(11, now_);
  told_ = 0;
  Seconds(3);
  book_->roster().LinkUp(12, "other", now_);
  Seconds(10);
  Connect(kAlice, 1, Status::kOnline, 0, 12);
  book_->roster().Announced(12, now_);
  Seconds(20);
  EXPECT_EQ(told_, 0);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
}

TEST_F(BookGatewaysTest, ADeviceThatIsNotAnnouncedAgainIsGone) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  book_->roster().LinkDown(kLink, now_);
  Second();
  book_->roster().LinkUp(12, "gateway", now_);
  Connect(kBob, 2, Status::kOnline, 0, 12);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
  book_->roster().Announced(12, now_);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
}

TEST_F(BookGatewaysTest, ADeviceThatComesByAnotherGatewayTakesItsOldPlace) {
  Settle();
  Contacts(kAlice, kBob);
  book_->roster().LinkUp(11, "other", now_);
  book_->roster().Announced(11, now_);
  Connect(kAlice, 1, Status::kBusy, 0, 11);
  Connect(kBob, 2);
  gateways_ = {"gateway", "other"};
  Second();
  book_->roster().LinkDown(11, now_);
  Second();
  Connect(kAlice, 3, Status::kAway);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kAway);
  EXPECT_EQ(book_->roster().sessions(), 2u);
}

TEST_F(BookGatewaysTest, AReturningDeviceIsNotMissedUntilItsTimeIsUp) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  Leave(1, /*returning=*/true);
  const WallTime left = now_.wall;
  Seconds(9);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
  Seconds(2);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
  EXPECT_EQ(last_seen_[kAlice], left);
}

TEST_F(BookGatewaysTest, AReturningDeviceThatIsBackIsNotEndedByItsOldTimer) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  Leave(1, /*returning=*/true);
  Second();
  // Even if it is given the same number.
  Connect(kAlice, 1);
  told_ = 0;
  Seconds(15);
  EXPECT_EQ(told_, 0);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
}

TEST_F(BookGatewaysTest, AStreamThatWasReplacedIsNotWaitedFor) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  Connect(kAlice, 3);
  Leave(1, /*returning=*/true);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
  Leave(3);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
}

TEST_F(BookGatewaysTest, ADrainedGatewayGivesItsLeaseBack) {
  Settle();
  Connect(kAlice, 1);
  Leave(1, /*returning=*/true);
  book_->roster().LinkDown(kLink, now_);
  EXPECT_THAT(book_->roster().TakeReleased(), ElementsAre("gateway"));
}

TEST_F(BookGatewaysTest, AGatewayThatBreaksOffKeepsItsLease) {
  Settle();
  Connect(kAlice, 1);
  book_->roster().LinkDown(kLink, now_);
  EXPECT_THAT(book_->roster().TakeReleased(), IsEmpty());
}

}  // namespace
}  // namespace im::presence
