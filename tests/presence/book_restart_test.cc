// Presence: nobody flickers while a restarted book settles.
#include <gtest/gtest.h>

#include "tests/presence/book_fixture.h"

namespace im::presence {
namespace {

class BookRestartTest : public BookTest {};

TEST_F(BookRestartTest, AfterARestartNobodyFlickers) {
  Settle();
  Contacts(kAlice, kBob);
  Contacts(kAlice, kCarol);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Connect(kCarol, 3);
  Second();
  gateways_ = {"gateway", "far"};
  Start();
  Second();
  // The first gateway is back, the far one, which holds Bob, is not.
  book_->roster().LinkUp(20, "gateway", now_);
  Connect(kAlice, 1, Status::kOnline, 0, 20);
  book_->roster().Announced(20, now_);
  Seconds(8);
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline);
  EXPECT_EQ(Shows(kAlice, kCarol), Status::kOnline);
  EXPECT_EQ(book_->See(kAlice, {kBob}, now_.steady), std::nullopt);
  book_->roster().LinkUp(21, "far", now_);
  Connect(kBob, 2, Status::kOnline, 0, 21);
  book_->roster().Announced(21, now_);
  Second();
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline);
  EXPECT_EQ(Shows(kAlice, kCarol), Status::kOffline) << "she did not come back";
  EXPECT_TRUE(portraits_.back().complete);
}

TEST_F(BookRestartTest, AfterALongRestartGatewaysAreGivenTimeThoughTheirLeasesLapsed) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  gateways_ = {};
  Start();
  book_->roster().LinkUp(20, "gateway", now_);
  Connect(kAlice, 1, Status::kOnline, 0, 20);
  book_->roster().Announced(20, now_);
  Second();
  book_->roster().LinkUp(21, "far", now_);
  Seconds(3);
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline) << "the far gateway has not announced yet";
  EXPECT_FALSE(book_->roster().settled());
  Connect(kBob, 2, Status::kOnline, 0, 21);
  book_->roster().Announced(21, now_);
  Second();
  EXPECT_TRUE(book_->roster().settled());
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline);
}

TEST_F(BookRestartTest, AfterARestartALapsedGatewayIsNotWaitedFor) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  gateways_ = {"gateway", "far"};
  Start();
  book_->roster().LinkUp(20, "gateway", now_);
  Connect(kAlice, 1, Status::kOnline, 0, 20);
  book_->roster().Announced(20, now_);
  Seconds(5);
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline);
  gateways_ = {"gateway"};
  Second();
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOffline);
}

TEST_F(BookRestartTest, AfterARestartNobodyIsOfflineWhileTheLeasesCannotBeRead) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  database_up_ = false;
  Start();
  book_->roster().LinkUp(20, "gateway", now_);
  Connect(kAlice, 1, Status::kOnline, 0, 20);
  book_->roster().Announced(20, now_);
  Seconds(30);
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline);
  database_up_ = true;
  Second();
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOffline);
}

TEST_F(BookRestartTest, WhileSettlingThoseWhoAreHereAreToldAlready) {
  Contacts(kAlice, kBob);
  gateways_ = {"gateway", "far"};
  book_->roster().LinkUp(kLink, "gateway", now_);
  book_->roster().Announced(kLink, now_);
  Connect(kAlice, 1);
  Seconds(4);
  Connect(kBob, 2);
  Second();
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
  Leave(2);
  Seconds(3);
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline) << "another device may be at the far gateway";
}

}  // namespace
}  // namespace im::presence
