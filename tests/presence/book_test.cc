// The rules of presence, on a clock of the test's own.
#include "services/presence/book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace im::presence {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr UserId kAlice = 1;
constexpr UserId kBob = 2;
constexpr UserId kCarol = 3;
constexpr LinkId kLink = 10;

// A book, one gateway, and what people's screens show.
class BookTest : public ::testing::Test {
 protected:
  explicit BookTest(size_t feeds = 1) : feeds_(feeds) { Start(); }

  void Start() {
    BookOptions options;
    options.feeds = feeds_;
    book_ = std::make_unique<PresenceBook>(options, now_.steady);
    sessions_.clear();
  }
  // Past the settling after a start, with the gateway linked.
  void Settle() {
    book_->roster().LinkUp(kLink, "gateway", now_);
    book_->roster().Announced(kLink, now_);
    gateways_ = {"gateway"};
    for (int i = 0; i < 3; ++i) Second();
    ASSERT_TRUE(book_->roster().settled());
  }

  void Contacts(UserId a, UserId b) {
    visible_[a].insert(b);
    visible_[b].insert(a);
    Relate(a);
    Relate(b);
  }
  // In either direction: im-chat tells of both.
  void Block(UserId a, UserId b) {
    visible_[a].erase(b);
    visible_[b].erase(a);
    Relate(a);
    Relate(b);
  }
  void Relate(UserId user) {
    if (feed_up_) book_->SetVisible(0, user, {visible_[user].begin(), visible_[user].end()});
    Deliver();
  }
  // im-chat answers what it is asked.
  void Deliver() {
    Outbox outbox = book_->TakeOutbox();
    for (const Change& change : outbox.changes) {
      for (const UserId viewer : change.audience) {
        ++told_;
        screens_[viewer][change.user] = change.status;
        last_seen_[change.user] = change.last_seen;
      }
    }
    for (const Portrait& portrait : outbox.portraits) {
      auto& screen = screens_[sessions_.at(portrait.session)];
      if (portrait.complete) screen.clear();
      for (const auto& [user, status] : portrait.present) screen[user] = status;
      portraits_.push_back(portrait);
    }
    const WatchOrders orders = book_->TakeWatchOrders();
    for (const UserId user : orders.add) watched_.insert(user);
    for (const UserId user : orders.remove) watched_.erase(user);
    if (feed_up_) {
      for (const UserId user : orders.add) Relate(user);
    }
  }

  void Connect(UserId user, uint64_t session, Status status = Status::kOnline, DeviceId device = 0,
               LinkId link = kLink) {
    const SessionKey key{link, session};
    sessions_[key] = user;
    book_->Open(key, user, device == 0 ? user * 100 : device, status, true, now_);
    Deliver();
  }
  void Leave(uint64_t session, bool returning = false, LinkId link = kLink) {
    book_->roster().Close({link, session}, returning, now_);
  }
  void Set(uint64_t session, Status status) {
    ASSERT_TRUE(book_->roster().SetStatus({kLink, session}, status, now_));
  }
  void Pass(milliseconds time) {
    now_.steady += time;
    now_.wall += time;
  }
  // A tick, with the leases read.
  void Second() {
    Pass(seconds(1));
    if (database_up_) book_->roster().SetLeases(gateways_, now_.steady);
    book_->Tick(now_);
    Deliver();
  }
  void Seconds(int count) {
    for (int i = 0; i < count; ++i) Second();
  }
  // What a person's devices show of another.
  Status Shows(UserId viewer, UserId subject) {
    const auto found = screens_[viewer].find(subject);
    return found == screens_[viewer].end() ? Status::kOffline : found->second;
  }

  const size_t feeds_;
  Moment now_{SteadyTime(seconds(1000)), WallTime(seconds(1'700'000'000))};
  std::unique_ptr<PresenceBook> book_;
  absl::flat_hash_set<std::string> gateways_;
  bool database_up_ = true;
  bool feed_up_ = true;
  std::map<UserId, std::set<UserId>> visible_;
  std::set<UserId> watched_;
  absl::flat_hash_map<SessionKey, UserId> sessions_;
  std::map<UserId, std::map<UserId, Status>> screens_;
  std::map<UserId, std::optional<WallTime>> last_seen_;
  std::vector<Portrait> portraits_;
  int told_ = 0;
};

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

TEST_F(BookTest, ABlockIsInForceAtOnce) {
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

TEST_F(BookTest, SightThatIsGainedIsFilledAtOnce) {
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

TEST_F(BookTest, APictureThatToldMoreThanTheRestKnowsIsMadeGood) {
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

TEST_F(BookTest, NothingIsToldWhileTheFeedIsDown) {
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

TEST_F(BookTest, ChangesOfADownFeedAreToldAfterIt) {
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

TEST_F(BookTest, AfterAStopTheFeedIsHeardFirst) {
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

TEST_F(BookTest, AGatewayThatVanishesKeepsItsSessionsUntilItsLeaseLapses) {
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

TEST_F(BookTest, ALapsedLeaseAloneEndsNobodyWhileTheGatewayMayBeOnItsWayBack) {
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

TEST_F(BookTest, ADeviceThatIsNotAnnouncedAgainIsGone) {
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

TEST_F(BookTest, ADeviceThatComesByAnotherGatewayTakesItsOldPlace) {
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

TEST_F(BookTest, AReturningDeviceIsNotMissedUntilItsTimeIsUp) {
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

TEST_F(BookTest, AReturningDeviceThatIsBackIsNotEndedByItsOldTimer) {
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

TEST_F(BookTest, AStreamThatWasReplacedIsNotWaitedFor) {
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

TEST_F(BookTest, ADrainedGatewayGivesItsLeaseBack) {
  Settle();
  Connect(kAlice, 1);
  Leave(1, /*returning=*/true);
  book_->roster().LinkDown(kLink, now_);
  EXPECT_THAT(book_->roster().TakeReleased(), ElementsAre("gateway"));
}

TEST_F(BookTest, AGatewayThatBreaksOffKeepsItsLease) {
  Settle();
  Connect(kAlice, 1);
  book_->roster().LinkDown(kLink, now_);
  EXPECT_THAT(book_->roster().TakeReleased(), IsEmpty());
}

TEST_F(BookTest, AfterARestartNobodyFlickers) {
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

TEST_F(BookTest, AfterALongRestartGatewaysAreGivenTimeThoughTheirLeasesLapsed) {
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

TEST_F(BookTest, AfterARestartALapsedGatewayIsNotWaitedFor) {
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

TEST_F(BookTest, AfterARestartNobodyIsOfflineWhileTheLeasesCannotBeRead) {
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

TEST_F(BookTest, WhileSettlingThoseWhoAreHereAreToldAlready) {
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
