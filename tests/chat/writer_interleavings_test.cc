// Writers and what may come between: each interleaving is brought about, not hoped for. Two writers
// stand for two instances. See docs/testing.md.
#include <gmock/gmock.h>

#include <chrono>

#include "common/base/error.h"
#include "common/base/metrics.h"
#include "tests/chat/writer_fixture.h"
#include "tests/support/commit_hold.h"

namespace im::chat {
namespace {

using im::testing::AwaitRowWaiters;
using im::testing::CommitHold;
using std::chrono::steady_clock;

using ::testing::Optional;

class WriterInterleavingsTest : public WriterTest {
 protected:
  static bool IsReady(const Future& future) {
    return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  std::string Entries(int64_t conversation) {
    return database_.Value(
        "SELECT count(*) || '/' || max(seq) || '/' || max(count) FROM chat.entries "
        "WHERE conversation_id = " +
        std::to_string(conversation));
  }

  Writer other_{{.database_url = database_.UrlOf("chat")}, &publisher_, &epoch_};
};

TEST_F(WriterInterleavingsTest, ARetryWhileTheFirstAttemptIsStillCommitting) {
  CommitHold hold(&database_, "chat.entries");
  hold.Hold();
  const std::string id = RandomBytes(16);
  Future first = Send(direct_, kAnn, "once", id);
  hold.AwaitHeld(1);
  // Through the same instance it waits its turn; through another one for the row.
  Future same = Send(direct_, kAnn, "once", id);
  Future other = Send(direct_, kAnn, "once", id, &other_);
  AwaitRowWaiters(&database_, 1);
  EXPECT_FALSE(IsReady(first) || IsReady(same) || IsReady(other));
  hold.Release();
  for (Future* future : {&first, &same, &other}) {
    const absl::StatusOr<Entry> entry = future->get();
    ASSERT_TRUE(entry.ok()) << entry.status();
    EXPECT_EQ(entry->seq, 1);
  }
  EXPECT_EQ(Entries(direct_), "1/1/1");
}

// The first attempt's instance is gone, and what it began takes longer than anybody waits.
TEST_F(WriterInterleavingsTest, ARetryIsToldToWaitRatherThanStoredTwice) {
  CommitHold hold(&database_, "chat.entries");
  hold.Hold();
  const std::string id = RandomBytes(16);
  Future first = Send(direct_, kAnn, "once", id);
  hold.AwaitHeld(1);
  EXPECT_THAT(ReasonOf(Send(direct_, kAnn, "once", id, &other_).get().status()),
              Optional(Reason::CONVERSATION_BUSY));
  hold.Release();
  EXPECT_EQ(first.get()->seq, 1);
  EXPECT_EQ(Send(direct_, kAnn, "once", id, &other_).get()->seq, 1);
  EXPECT_EQ(Entries(direct_), "1/1/1");
}

TEST_F(WriterInterleavingsTest, TwoInstancesThatBothBelieveToOwnAConversation) {
  // Both remember the same state, and both decide on it that theirs is entry 2.
  ASSERT_EQ(Send(direct_, kAnn, "warm").get()->seq, 1);
  ASSERT_THAT(ReasonOf(Send(direct_, kEve, "warm", RandomBytes(16), &other_).get().status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  CommitHold hold(&database_, "chat.entries");
  hold.Hold();
  Future one = Send(direct_, kAnn, "one");
  hold.AwaitHeld(1);
  Future two = Send(direct_, kBob, "two", RandomBytes(16), &other_);
  AwaitRowWaiters(&database_, 1);
  hold.Release();
  EXPECT_EQ(one.get()->seq, 2);
  const absl::StatusOr<Entry> second = two.get();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->seq, 3);
  // The first one's memory is old by now.
  EXPECT_EQ(Send(direct_, kAnn, "three").get()->seq, 4);
  EXPECT_EQ(Entries(direct_), "4/4/4");
}

TEST_F(WriterInterleavingsTest, AMemberRemovedWhileTheirMessageWaitsForTheLock) {
  // The instance that will store the message knows Bob as a member.
  ASSERT_TRUE(Send(group_, kBob, "warm").get().ok());
  CommitHold hold(&database_, "chat.entries");
  hold.Hold();
  std::future<absl::StatusOr<std::optional<Entry>>> removal = std::async(std::launch::async, [&] {
    return Change(
        kAnn, RandomBytes(16),
        [](const ConversationState& state, auto&) { return PlanRemove(state, kAnn, kBob); },
        &other_);
  });
  hold.AwaitHeld(1);
  Future message = Send(group_, kBob, "too late");
  AwaitRowWaiters(&database_, 1);
  hold.Release();
  const auto removed = removal.get();
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_THAT(ReasonOf(message.get().status()), Optional(Reason::NOT_A_MEMBER));
  EXPECT_EQ(Contents(group_), "warm");
}

TEST_F(WriterInterleavingsTest, AMemberAddedWhileTheirMessageWaitsForTheLock) {
  ASSERT_TRUE(Send(group_, kBob, "warm").get().ok());
  CommitHold hold(&database_, "chat.entries");
  hold.Hold();
  std::future<absl::StatusOr<std::optional<Entry>>> addition = std::async(std::launch::async, [&] {
    return Change(
        kAnn, RandomBytes(16),
        [](const ConversationState& state, auto&) { return PlanAdd(state, kAnn, {kEve}); },
        &other_);
  });
  hold.AwaitHeld(1);
  // Not a member yet: nobody has committed that.
  EXPECT_THAT(ReasonOf(Send(group_, kEve, "early").get().status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  hold.Release();
  ASSERT_TRUE(addition.get().ok());
  EXPECT_TRUE(Send(group_, kEve, "at once").get().ok());
  EXPECT_EQ(Contents(group_), "warm at once");
}

// What is in force when one instance has answered is in force at the other, whose memory is older.
TEST_F(WriterInterleavingsTest, ABlockAndItsEndThroughOneInstanceHoldAtTheOtherAtOnce) {
  const auto contact = [&](const std::string& what) {
    database_.Exec("SELECT chat.change_contact('" + what +
                   "', 2, 1, gen_random_uuid(), 1, '', 10)");
  };
  ASSERT_TRUE(Send(direct_, kAnn, "a").get().ok());
  for (int round = 0; round < 3; ++round) {
    contact("block");
    EXPECT_THAT(ReasonOf(Send(direct_, kAnn, "blocked").get().status()),
                Optional(Reason::RECIPIENT_REFUSES));
    contact("unblock");
    EXPECT_TRUE(Send(direct_, kAnn, "b").get().ok());
  }
  EXPECT_EQ(Contents(direct_), "a b b b");
}

// What its caller gave up on while the writer was held up is not stored any more.
TEST_F(WriterInterleavingsTest, ACallWhoseDeadlinePassedIsNotDone) {
  ASSERT_TRUE(Send(direct_, kAnn, "warm").get().ok());
  CommitHold hold(&database_, "chat.entries");
  hold.Hold();
  Future first = Send(direct_, kAnn, "first");
  hold.AwaitHeld(1);
  std::promise<absl::StatusOr<Entry>> late;
  SendItem item;
  item.conversation_id = direct_;
  item.sender = kBob;
  item.request_id = RandomBytes(16);
  item.content = "late";
  item.waiting.deadline = std::chrono::system_clock::now();
  item.done = [&](absl::StatusOr<Entry> entry) { late.set_value(std::move(entry)); };
  writer_.Submit(std::move(item));
  hold.Release();
  EXPECT_TRUE(first.get().ok());
  EXPECT_THAT(ReasonOf(late.get_future().get().status()), Optional(Reason::DEADLINE_EXCEEDED));
  EXPECT_EQ(Contents(direct_), "warm first");
}

class EveryBatchTest : public WriterInterleavingsTest {
 protected:
  static double Counted(const char* name) { return CounterFamily(name, "").Add({}).Value(); }

  // Makes the writer busy, has items pile up, lets them go as one batch: again and again.
  template <typename F>
  void InBatches(int rounds, const F& pile_up) {
    const int64_t plug = *store_.OpenDirect(kAnn, kCarol);
    ASSERT_TRUE(Send(plug, kAnn, "warm").get().ok());
    CommitHold hold(&database_, "chat.entries", "NEW.conversation_id = " + std::to_string(plug));
    for (int round = 0; round < rounds; ++round) {
      hold.Hold();
      Future plugged = Send(plug, kAnn, "plug");
      hold.AwaitHeld(1);
      pile_up();
      hold.Release();
      ASSERT_TRUE(plugged.get().ok());
    }
  }
  static constexpr int64_t kCarol = 4;
};

TEST_F(EveryBatchTest, AKnownRequestIdInEveryBatchSlowsNoOther) {
  database_.Exec("INSERT INTO chat.users (user_id, reachability) VALUES (4, 2)");
  const std::string known = RandomBytes(16);
  ASSERT_EQ(Send(group_, kBob, "known", known).get()->seq, 2);
  const double singles = Counted("im_chat_singles_total");
  std::vector<Future> fresh, repeated;
  InBatches(5, [&] {
    for (int i = 0; i < 50; ++i) {
      fresh.push_back(Send(direct_, kAnn, std::to_string(i)));
      fresh.push_back(Send(group_, kAnn, std::to_string(i)));
      if (i == 20) repeated.push_back(Send(group_, kBob, "known", known));
    }
  });
  for (Future& future : repeated) EXPECT_EQ(future.get()->seq, 2);
  for (Future& future : fresh) ASSERT_TRUE(future.get().ok());
  // Only those that were known went alone.
  EXPECT_EQ(Counted("im_chat_singles_total") - singles, 5);
  EXPECT_EQ(Entries(direct_), "250/250/250");
  EXPECT_EQ(Entries(group_), "252/252/251");
}

TEST_F(EveryBatchTest, ALockedConversationInEveryBatchSlowsNoOther) {
  database_.Exec("INSERT INTO chat.users (user_id, reachability) VALUES (4, 2)");
  ASSERT_TRUE(Send(direct_, kAnn, "warm").get().ok());
  ASSERT_TRUE(Send(group_, kAnn, "warm").get().ok());
  pqxx::connection holder(database_.url());
  pqxx::work lock(holder);
  lock.exec("SELECT 1 FROM chat.conversations WHERE id = " + std::to_string(direct_) +
            " FOR UPDATE");
  const auto started = steady_clock::now();
  std::vector<Future> locked;
  InBatches(20, [&] {
    std::vector<Future> fresh;
    for (int i = 0; i < 20; ++i) {
      fresh.push_back(Send(group_, kAnn, "free"));
      if (i % 10 == 5) locked.push_back(Send(direct_, i < 10 ? kAnn : kBob, "held"));
    }
  });
  ASSERT_TRUE(Send(group_, kAnn, "last").get().ok());
  // Each waits for the lock for a second, and the others for none of them: twenty rounds would take
  // twenty seconds, or forty.
  EXPECT_LT(steady_clock::now() - started, std::chrono::seconds(8));
  for (Future& future : locked) {
    EXPECT_THAT(ReasonOf(future.get().status()), Optional(Reason::CONVERSATION_BUSY));
  }
  EXPECT_EQ(Entries(group_), "403/403/402");
  lock.commit();
  EXPECT_EQ(Send(direct_, kAnn, "free again").get()->seq, 2);
}

// They keep their order: what comes behind a parked one does not overtake it.
TEST_F(EveryBatchTest, WhatWaitedForALockIsStoredInTheOrderSent) {
  ASSERT_TRUE(Send(direct_, kAnn, "0").get().ok());
  std::vector<Future> futures;
  {
    pqxx::connection holder(database_.url());
    pqxx::work lock(holder);
    lock.exec("SELECT 1 FROM chat.conversations WHERE id = " + std::to_string(direct_) +
              " FOR UPDATE");
    futures.push_back(Send(direct_, kAnn, "1"));
    AwaitRowWaiters(&database_, 1);
    for (int i = 2; i <= 5; ++i) futures.push_back(Send(direct_, kAnn, std::to_string(i)));
    // A round has passed since, so those are parked, too.
    ASSERT_TRUE(Send(group_, kAnn, "x").get().ok());
    AwaitRowWaiters(&database_, 1);
    lock.commit();
  }
  futures.push_back(Send(direct_, kAnn, "6"));
  for (Future& future : futures) {
    const absl::StatusOr<Entry> entry = future.get();
    ASSERT_TRUE(entry.ok()) << entry.status();
  }
  EXPECT_EQ(Contents(direct_), "0 1 2 3 4 5 6");
}

}  // namespace
}  // namespace im::chat
