// Presence: who may see whom, as told by the feeds of im-chat, and what holds while they are down.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/presence/book_fixture.h"

namespace im::presence {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::Pair;

class BookFeedsTest : public BookTest {};

TEST_F(BookFeedsTest, ABlockIsInForceAtOnce) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  visible_[kAlice].erase(kBob);
  book_->SetVisible(0, kAlice, {});
  const Outbox outbox = book_->TakeOutbox();
  ASSERT_EQ(outbox.changes.size(), 2u);
  EXPECT_EQ(outbox.changes[0].user, kAlice);
  EXPECT_EQ(outbox.changes[0].status, Status::kOffline);
  EXPECT_EQ(outbox.changes[0].last_seen, std::nullopt);
  EXPECT_THAT(outbox.changes[0].audience, ElementsAre(kBob));
  // The other side's picture has not come yet, and changes nothing.
  told_ = 0;
  Set(1, Status::kBusy);
  Second();
  EXPECT_EQ(told_, 0);
  EXPECT_FALSE(book_->See(kBob, {kAlice}, now_.steady)->at(0).may_see);
}

TEST_F(BookFeedsTest, SightThatIsGainedIsFilledAtOnce) {
  Settle();
  Connect(kAlice, 1);
  Connect(kBob, 2, Status::kAway);
  Second();
  Contacts(kAlice, kBob);
  EXPECT_EQ(Shows(kAlice, kBob), Status::kAway);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
  Block(kAlice, kBob);
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOffline);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
}

TEST_F(BookFeedsTest, APictureThatToldMoreThanTheRestKnowsIsMadeGood) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kBob, 2);
  Second();
  // Alice comes; before the others are told, Bob's second device gets its picture, and then she
  // leaves within the same second.
  feed_up_ = false;
  Connect(kAlice, 1);
  Connect(kBob, 3, Status::kOnline, 201);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
  Leave(1);
  feed_up_ = true;
  Relate(kAlice);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
}

TEST_F(BookFeedsTest, NothingIsToldWhileTheFeedIsDown) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  book_->FeedBroke(0);
  feed_up_ = false;
  told_ = 0;
  Set(1, Status::kBusy);
  Seconds(3);
  EXPECT_EQ(told_, 0);
  EXPECT_EQ(book_->See(kBob, {kAlice}, now_.steady), std::nullopt);
  // Meanwhile Alice blocked Bob; what he hears after the new pictures is that she is gone.
  visible_[kAlice].erase(kBob);
  visible_[kBob].erase(kAlice);
  feed_up_ = true;
  Relate(kBob);
  Relate(kAlice);
  Seconds(2);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
  EXPECT_EQ(last_seen_[kAlice], std::nullopt);
}

TEST_F(BookFeedsTest, ChangesOfADownFeedAreToldAfterIt) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  book_->FeedBroke(0);
  feed_up_ = false;
  Set(1, Status::kBusy);
  Leave(2);
  Seconds(3);
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOnline);
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOnline);
  feed_up_ = true;
  Relate(kAlice);
  Relate(kBob);
  Second();
  EXPECT_EQ(Shows(kAlice, kBob), Status::kOffline);
}

TEST_F(BookFeedsTest, AfterAStopTheFeedIsHeardFirst) {
  Settle();
  Contacts(kAlice, kBob);
  Connect(kAlice, 1);
  Connect(kBob, 2);
  Second();
  told_ = 0;
  Set(1, Status::kBusy);
  Pass(seconds(10));
  EXPECT_EQ(book_->See(kBob, {kAlice}, now_.steady), std::nullopt);
  Second();
  EXPECT_EQ(told_, 0);
  Second();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kBusy);
}

class TwoFeedsTest : public BookTest {
 protected:
  TwoFeedsTest() : BookTest(2) {}
};

TEST_F(TwoFeedsTest, WhicheverInstanceKnowsOfABlockClosesTheCurtain) {
  Settle();
  Connect(kAlice, 1);
  Connect(kBob, 2);
  for (const size_t feed : {0, 1}) {
    book_->SetVisible(feed, kAlice, {kBob});
    book_->SetVisible(feed, kBob, {kAlice});
  }
  Deliver();
  Second();
  ASSERT_EQ(Shows(kBob, kAlice), Status::kOnline);

  book_->SetVisible(1, kAlice, {});
  EXPECT_EQ(book_->See(kAlice, {kBob}, now_.steady), std::nullopt) << "one picture is old";
  EXPECT_THAT(book_->TakeWatchOrders().refresh, ElementsAre(Pair(0u, kAlice)));
  Deliver();
  EXPECT_EQ(Shows(kBob, kAlice), Status::kOffline);
  // The first instance's picture was drawn before the block; its new one was not.
  book_->SetVisible(0, kAlice, {});
  Second();
  EXPECT_FALSE(book_->See(kBob, {kAlice}, now_.steady)->at(0).may_see);
}

}  // namespace
}  // namespace im::presence
