#include "services/chat/watermarks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/base/error.h"
#include "services/chat/history_service.h"
#include "services/chat/pg_sync_store.h"
#include "tests/chat/chat_fixture.h"
#include "tests/chat/link_fixture.h"

namespace im::chat {
namespace {

using im::testing::ChatFixture;
using im::testing::kAlice;
using im::testing::kBob;
using im::testing::kCarol;
using im::testing::TestGateway;
using im::testing::TestLinks;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

class WatermarksTest : public ::testing::Test {
 protected:
  // What was published next: to whom, and the event.
  std::pair<std::vector<int64_t>, v1::Event> Published() {
    const auto item = gateway_.Next();
    EXPECT_TRUE(item.has_value() && item->has_publication());
    if (!item.has_value()) return {};
    v1::Event event;
    EXPECT_TRUE(event.ParseFromString(item->publication().event()));
    std::vector<int64_t> users(item->publication().user_ids().begin(),
                               item->publication().user_ids().end());
    std::sort(users.begin(), users.end());
    return {users, event};
  }
  // Nothing was published: the next thing heard is the answer to a session opened now.
  void ExpectSilence() { gateway_.Open(++sessions_, kCarol); }
  int64_t Delivered(int64_t conversation, int64_t user) {
    return chat_.Number("SELECT delivered_seq FROM chat.members WHERE conversation_id = " +
                        std::to_string(conversation) + " AND user_id = " + std::to_string(user) +
                        " ORDER BY join_seq DESC LIMIT 1");
  }
  ReadMark Mark(int64_t user, int64_t conversation, int64_t seq) {
    const auto mark = watermarks_.MarkRead(user, conversation, seq);
    EXPECT_TRUE(mark.ok()) << mark.status();
    return mark.value_or(ReadMark{});
  }
  void SetUp() override {
    gateway_.Open(1, kAlice);
    gateway_.Open(2, kBob);
  }

  ChatFixture chat_;
  TestLinks links_;
  Publisher publisher_{&links_.server};
  OwnLog own_log_{&chat_.pool, &publisher_};
  // Writes when told to, not by itself.
  Watermarks watermarks_{&chat_.pool, &publisher_, &own_log_, std::chrono::hours(1)};
  TestGateway gateway_{&links_};
  uint64_t sessions_ = 10;
};

TEST_F(WatermarksTest, ReadingIsToldToOnesDevicesAndThePeer) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  chat_.Say(direct, kAlice, "x", 5);
  const ReadMark mark = Mark(kBob, direct, 3);
  EXPECT_EQ(mark.read_seq, 3);
  EXPECT_EQ(mark.unread, 2);

  const auto [own, record] = Published();
  EXPECT_THAT(own, ElementsAre(kBob));
  EXPECT_EQ(record.own_log().after_position(), 0);
  EXPECT_EQ(record.own_log().position(), 1);
  EXPECT_EQ(record.own_log().records(0).read_mark().conversation_id(), direct);
  EXPECT_EQ(record.own_log().records(0).read_mark().read_seq(), 3);
  const auto [both, event] = Published();
  EXPECT_THAT(both, ElementsAre(kAlice, kBob));
  EXPECT_EQ(event.watermark().conversation_id(), direct);
  EXPECT_EQ(event.watermark().watermark().user_id(), kBob);
  EXPECT_EQ(event.watermark().watermark().read_seq(), 3);
  EXPECT_EQ(event.watermark().watermark().delivered_seq(), 3);
  ExpectSilence();
}

TEST_F(WatermarksTest, ABlockedPairSeesNothingOfEachOther) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  chat_.Say(direct, kAlice, "x", 5);
  Mark(kBob, direct, 2);
  Published();
  Published();
  PgHistoryStore history(&chat_.pool);
  PgSyncStore sync(&chat_.pool);
  for (const auto& [blocker, blocked] : {std::pair(kAlice, kBob), std::pair(kBob, kAlice)}) {
    chat_.database.Exec("INSERT INTO chat.contacts (user_id, other_user_id, blocked) VALUES (" +
                        std::to_string(blocker) + ", " + std::to_string(blocked) + ", true)");
    EXPECT_TRUE(Mark(kBob, direct, blocker == kAlice ? 3 : 4).unread > 0);
    // Only the own log.
    EXPECT_THAT(Published().first, ElementsAre(kBob));
    ExpectSilence();
    EXPECT_FALSE(history.GetConversation(kAlice, direct)->peer_watermark.has_value());
    EXPECT_THAT(*history.ListWatermarks(kAlice, direct, 0, 10),
                ElementsAre(Field(&Watermark::user_id, kAlice)));
    EXPECT_THAT(*sync.Compare(kAlice, {{direct, 5, 0, 0}}, true), IsEmpty());
    chat_.database.Exec("DELETE FROM chat.contacts");
  }
  EXPECT_EQ(history.GetConversation(kAlice, direct)->peer_watermark->read_seq, 4);
  EXPECT_THAT(*history.ListWatermarks(kAlice, direct, 0, 10), SizeIs(2));
  EXPECT_THAT(*sync.Compare(kAlice, {{direct, 5, 0, 0}}, true), SizeIs(1));
}

TEST_F(WatermarksTest, ReadingOnlyRisesAndOnceIsEnough) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  chat_.Say(direct, kAlice, "x", 5);
  EXPECT_EQ(Mark(kBob, direct, 4).read_seq, 4);
  Published();
  Published();
  for (const int64_t seq : {4, 3, 0}) {
    const ReadMark again = Mark(kBob, direct, seq);
    EXPECT_EQ(again.read_seq, 4) << seq;
    EXPECT_EQ(again.unread, 1) << seq;
  }
  ExpectSilence();
  EXPECT_EQ(Mark(kBob, direct, INT64_MAX).read_seq, 5);
  EXPECT_EQ(Mark(kBob, direct, 6).unread, 0);
  EXPECT_EQ(chat_.Number("SELECT log_position FROM chat.users WHERE user_id = 102"), 2);
}

TEST_F(WatermarksTest, ChangesOfMembersAreReadButDoNotCount) {
  const int64_t group = chat_.Group(kAlice, {kBob});  // 1
  chat_.Say(group, kAlice, "x");                      // 2
  chat_.Rename(group, kAlice, "y");                   // 3
  chat_.Say(group, kAlice, "z");                      // 4
  EXPECT_EQ(Mark(kBob, group, 1).unread, 2);
  EXPECT_EQ(Mark(kBob, group, 2).unread, 1);
  EXPECT_EQ(Mark(kBob, group, 3).unread, 1);
  EXPECT_EQ(Mark(kBob, group, 4).unread, 0);
}

TEST_F(WatermarksTest, NothingIsMarkedInWhatIsNotThereYet) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  EXPECT_THAT(ReasonOf(watermarks_.MarkRead(kBob, direct, 1).status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  EXPECT_EQ(Mark(kAlice, direct, 1).read_seq, 0);
}

TEST_F(WatermarksTest, NobodyMarksWhatIsNotTheirs) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, "x", 3);
  EXPECT_THAT(ReasonOf(watermarks_.MarkRead(kCarol, group, 1).status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  v1::MarkReadRequest negative;
  negative.set_conversation_id(group);
  negative.set_seq(-1);
  EXPECT_THAT(ReasonOf(MarkRead(&watermarks_, kBob, negative).status()),
              Optional(Reason::INVALID_FIELD));
  watermarks_.Acknowledge(kCarol, group, 3);
  watermarks_.Acknowledge(kBob, group + 1000, 3);
  ASSERT_TRUE(watermarks_.Flush().ok());
  ExpectSilence();
}

TEST_F(WatermarksTest, WhoHasLeftReadsUpToTheEnd) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, "x", 3);  // 2..4
  chat_.Leave(group, kBob);          // 5
  chat_.Say(group, kAlice, "x", 3);
  EXPECT_EQ(Mark(kBob, group, 100).read_seq, 5);
  EXPECT_EQ(Published().second.own_log().position(), 1);
  ExpectSilence();  // the members are not told
  EXPECT_EQ(Mark(kBob, group, 100).unread, 0);
  chat_.Return(group, kBob);
  watermarks_.Acknowledge(kBob, group, 3);
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(Delivered(group, kBob), 9);
}

TEST_F(WatermarksTest, AcknowledgementsAreGathered) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  chat_.Say(direct, kAlice, "x", 5);
  for (const int64_t seq : {1, 3, 2}) watermarks_.Acknowledge(kBob, direct, seq);
  EXPECT_EQ(Delivered(direct, kBob), 0);
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(Delivered(direct, kBob), 3);
  const auto [both, event] = Published();
  EXPECT_THAT(both, ElementsAre(kAlice, kBob));
  EXPECT_EQ(event.watermark().watermark().delivered_seq(), 3);
  EXPECT_EQ(event.watermark().watermark().read_seq(), 0);
  ASSERT_TRUE(watermarks_.Flush().ok());
  watermarks_.Acknowledge(kBob, direct, 2);
  ASSERT_TRUE(watermarks_.Flush().ok());
  ExpectSilence();
  watermarks_.Acknowledge(kBob, direct, 500);
  watermarks_.Shutdown();
  EXPECT_EQ(Delivered(direct, kBob), 5);
}

TEST_F(WatermarksTest, ManyAcknowledgementsAtOnce) {
  std::vector<int64_t> groups;
  for (int i = 0; i < 30; ++i) {
    groups.push_back(chat_.Group(kAlice, {kBob, kCarol}));
    chat_.Say(groups.back(), kAlice, "x", 2);
  }
  for (int user = 1000; user < 1100; ++user) {
    for (const int64_t group : groups) watermarks_.Acknowledge(user, group, 3);
  }
  for (const int64_t group : groups) {
    watermarks_.Acknowledge(kBob, group, 3);
    watermarks_.Acknowledge(kCarol, group, 2);
  }
  ASSERT_TRUE(watermarks_.Flush().ok());
  for (const int64_t group : groups) {
    EXPECT_EQ(Delivered(group, kBob), 3);
    EXPECT_EQ(Delivered(group, kCarol), 2);
  }
}

TEST_F(WatermarksTest, ALockedMemberIsTriedAgain) {
  const int64_t one = chat_.Direct(kAlice, kBob);
  const int64_t other = chat_.Direct(kBob, kCarol);
  chat_.Say(one, kAlice, "x", 5);
  chat_.Say(other, kCarol, "x", 5);
  watermarks_.Acknowledge(kBob, one, 4);
  watermarks_.Acknowledge(kBob, other, 4);
  {
    pqxx::connection connection(chat_.database.url());
    pqxx::work append(connection);
    append.exec("UPDATE chat.members SET sent_seq = 0 WHERE conversation_id = " +
                std::to_string(one));
    ASSERT_TRUE(watermarks_.Flush().ok());
    EXPECT_EQ(Delivered(other, kBob), 4);
    EXPECT_EQ(Delivered(one, kBob), 0);
    append.commit();
  }
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(Delivered(one, kBob), 4);
}

// Appends, marks, acknowledgements and changes of settings lock the same rows: none may wait in a
// circle.
TEST_F(WatermarksTest, NoDeadlocks) {
  const int64_t one = chat_.Direct(kAlice, kBob);
  const int64_t other = chat_.Direct(kBob, kCarol);
  chat_.Say(one, kAlice, "x");
  chat_.Say(other, kBob, "x");
  constexpr int kRounds = 100;
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (const auto& [conversation, peer] : {std::pair(one, kAlice), std::pair(other, kCarol)}) {
    threads.emplace_back([&, conversation = conversation, peer = peer] {
      for (int i = 0; i < kRounds; ++i) {
        while (true) {
          try {
            chat_.Say(conversation, i % 2 == 0 ? kBob : peer, "x");
            break;
          } catch (const std::runtime_error&) {
            // The settings changed meanwhile: on the state as it is now.
          }
        }
      }
    });
    threads.emplace_back([&, conversation = conversation] {
      for (int i = 0; i < kRounds; ++i) {
        if (!watermarks_.MarkRead(kBob, conversation, i).ok()) ++failed;
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < kRounds; ++i) {
      for (const int64_t user : {kAlice, kBob, kCarol}) {
        watermarks_.Acknowledge(user, one, i);
        watermarks_.Acknowledge(user, other, i);
      }
      if (!watermarks_.Flush().ok()) ++failed;
    }
  });
  threads.emplace_back([&] {
    for (int i = 0; i < kRounds; ++i) {
      const absl::Status status = chat_.pool.Write([&](pg::Session& session) {
        session.Exec("SELECT chat.update_settings(102, gen_random_uuid(), 0, $1::smallint)",
                     1 + i % 2);
      });
      if (!status.ok()) ++failed;
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(chat_.Number("SELECT count(*) FROM chat.members m JOIN chat.entries e ON "
                         "e.conversation_id = m.conversation_id AND e.seq = m.read_seq "
                         "WHERE m.read_count <> e.count OR m.delivered_seq < m.read_seq"),
            0);
}

TEST_F(WatermarksTest, NothingIsLostWhileTheDatabaseIsAway) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  chat_.Say(direct, kAlice, "x", 5);
  chat_.database.Exec("ALTER TABLE chat.members RENAME TO gone");
  watermarks_.Acknowledge(kBob, direct, 4);
  EXPECT_FALSE(watermarks_.Flush().ok());
  EXPECT_FALSE(watermarks_.MarkRead(kBob, direct, 2).ok());
  chat_.database.Exec("ALTER TABLE chat.gone RENAME TO members");
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(Delivered(direct, kBob), 4);
}

TEST_F(WatermarksTest, OnlySmallGroupsAreTold) {
  std::vector<int64_t> members;
  for (int i = 0; i < 49; ++i) members.push_back(1000 + i);
  members[0] = kBob;
  const int64_t small = chat_.Group(kAlice, members);  // 50
  chat_.Say(small, kAlice, "x");
  Mark(kBob, small, 2);
  EXPECT_TRUE(Published().second.has_own_log());
  EXPECT_THAT(Published().first, ElementsAre(kAlice, kBob));
  watermarks_.Acknowledge(1001, small, 2);
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(Published().second.watermark().watermark().user_id(), 1001);

  members.push_back(2000);
  const int64_t large = chat_.Group(kAlice, members);  // 51
  chat_.Say(large, kAlice, "x");
  Mark(kBob, large, 2);
  EXPECT_TRUE(Published().second.has_own_log());
  watermarks_.Acknowledge(1001, large, 2);
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(Delivered(large, 1001), 2);
  ExpectSilence();
}

}  // namespace
}  // namespace im::chat
