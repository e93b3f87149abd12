// What happens to contacts at the same time.
#include <barrier>
#include <functional>
#include <future>
#include <thread>

#include "tests/chat/contacts_world.h"

namespace im::chat {
namespace {

using ::testing::Optional;

class ContactsLocksTest : public ContactsWorld {
 protected:
  // Before the first connection of the pool: deadlocks are found at once.
  ContactsLocksTest() {
    database_.Exec(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''5ms''', "
        "current_database()); END $$");
  }

  // Runs all of them at once, and waits.
  static void AtOnce(const std::vector<std::function<void()>>& works) {
    std::barrier start(static_cast<std::ptrdiff_t>(works.size()));
    std::vector<std::thread> threads;
    for (const auto& work : works) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        work();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  // Until somebody waits for a lock.
  void AwaitWaiting() {
    pqxx::connection connection(database_.url());
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      pqxx::nontransaction transaction(connection);
      if (transaction
              .exec("SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'")
              .at(0)
              .at(0)
              .as<int>() > 0) {
        return;
      }
    }
    FAIL() << "nobody waits for a lock";
  }

  // Every position once, the newest known.
  void ExpectDenseLog(int64_t user) {
    EXPECT_EQ(
        database_.Value(absl::StrCat(
            "SELECT u.log_position = max(l.position) AND count(DISTINCT l.position) = count(*) "
            "FROM chat.users u JOIN chat.own_log l USING (user_id) WHERE user_id = ",
            user, " GROUP BY u.log_position")),
        "t");
  }

  // The first entry of a new conversation between Bob, who sends it, and Ann.
  std::string FirstMessage(int64_t conversation, bool wait) {
    const std::string id = absl::StrCat("ARRAY[", conversation, "]::bigint[]");
    const std::string one = "ARRAY[1]::bigint[]", zero = "ARRAY[0]::bigint[]";
    return absl::StrCat(
        "SELECT outcome FROM chat.append(", id, ",", zero, ",", one, ",", one, ",", one,
        ", ARRAY[1], ", one, ", ARRAY[2]::bigint[], ARRAY[gen_random_uuid()], ", one,
        ", ARRAY[10]::smallint[], ", one, ", ARRAY[0], ARRAY[1], 'x'::bytea, ", id,
        ", ARRAY[2]::bigint[], ", zero, ",", one, ",", one, wait ? ", true)" : ", false)");
  }
};

TEST_F(ContactsLocksTest, TwoWhoAskEachOtherAreContacts) {
  for (int64_t round = 0; round < 20; ++round) {
    const int64_t one = 10 + round, other = 60 + round;
    absl::StatusOr<Contact> first, second;
    AtOnce({[&] { first = contacts_.Request(one, other, New(), ""); },
            [&] { second = contacts_.Request(other, one, New(), ""); }});
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_EQ(Stands(one, other), "contact");
    EXPECT_EQ(Stands(other, one), "contact");
    EXPECT_TRUE(first->state == ContactState::kContact || second->state == ContactState::kContact);
    EXPECT_EQ(PairVersion(one, other), 1);
    EXPECT_EQ(Position(one), 2);
    EXPECT_EQ(Position(other), 2);
  }
}

TEST_F(ContactsLocksTest, OneRequestSentTwiceAtOnceIsDoneOnce) {
  for (int round = 0; round < 10; ++round) {
    const RequestKey key = New();
    const std::string greeting = absl::StrCat("round ", round);
    absl::StatusOr<Contact> first, second;
    AtOnce({[&] { first = contacts_.Request(kAnn, kBob, key, greeting); },
            [&] { second = contacts_.Request(kAnn, kBob, key, greeting); }});
    ASSERT_TRUE(first.ok() && second.ok());
    EXPECT_EQ(first->greeting, greeting);
    EXPECT_EQ(second->greeting, greeting);
    EXPECT_EQ(Position(kAnn), round + 1);
    EXPECT_EQ(Position(kBob), round + 1);
  }
}

TEST_F(ContactsLocksTest, ManyWhoBlockTheSamePersonDoNotMeet) {
  std::vector<std::function<void()>> works;
  std::atomic<int> done{0};
  for (int64_t user = 10; user < 18; ++user) {
    works.emplace_back([this, user, &done] { done += contacts_.Block(user, 5, New()).ok(); });
  }
  AtOnce(works);
  EXPECT_EQ(done.load(), 8);
  EXPECT_EQ(Position(5), 0);
}

TEST_F(ContactsLocksTest, ABlockWaitsForTheMessageUnderWay) {
  const int64_t conversation = *pool_.Read([](pg::Session& session) {
    return session.Exec("SELECT chat.open_direct(1, 2)").at(0).at(0).as<int64_t>();
  });
  pqxx::connection connection(database_.url());
  std::future<absl::Status> block;
  {
    pqxx::work message(connection);
    ASSERT_EQ(message.exec(FirstMessage(conversation, false)).at(0).at(0).as<int>(), 0);
    block = std::async(std::launch::async, [&] { return contacts_.Block(kAnn, kBob, New()); });
    AwaitWaiting();
    message.commit();
  }
  EXPECT_TRUE(block.get().ok());
  EXPECT_EQ(database_.Value("SELECT last_seq || '/' || version FROM chat.conversations"), "1/2");
  // Whoever goes by the old version gets nothing stored.
  pqxx::work late(connection);
  EXPECT_EQ(late.exec(FirstMessage(conversation, true)).at(0).at(0).as<int>(), 2);
}

TEST_F(ContactsLocksTest, AFirstMessageWaitsForTheBlockUnderWay) {
  const int64_t conversation = *pool_.Read([](pg::Session& session) {
    return session.Exec("SELECT chat.open_direct(1, 2)").at(0).at(0).as<int64_t>();
  });
  pqxx::connection connection(database_.url());
  pqxx::work block(connection);
  ASSERT_EQ(
      block
          .exec("SELECT outcome FROM chat.change_contact('block', 1, 2, gen_random_uuid(), 1, "
                "'', 10)")
          .at(0)
          .at(0)
          .as<int>(),
      0);
  // A writer passes over the row while it is locked; one that waits finds another version.
  EXPECT_EQ(database_.Value(FirstMessage(conversation, false)), "1");
  std::future<std::string> message = std::async(
      std::launch::async, [&] { return database_.Value(FirstMessage(conversation, true)); });
  AwaitWaiting();
  block.commit();
  EXPECT_EQ(message.get(), "2");
  EXPECT_EQ(database_.Value("SELECT count(*) FROM chat.entries"), "0");
}

TEST_F(ContactsLocksTest, ABlockMakesThePairThatAFirstMessageLooksFor) {
  pqxx::connection connection(database_.url());
  pqxx::work block(connection);
  block.exec("SELECT chat.change_contact('block', 1, 2, gen_random_uuid(), 1, '', 10)");
  std::future<std::string> open = std::async(
      std::launch::async, [&] { return database_.Value("SELECT chat.open_direct(2, 1)"); });
  AwaitWaiting();
  block.commit();
  // What it opens is there once, and with the block.
  const std::string id = open.get();
  EXPECT_EQ(database_.Value("SELECT count(*) || '/' || min(id) FROM chat.conversations"),
            "1/" + id);
  EXPECT_EQ(database_.Value("SELECT count(*) FROM chat.members"), "2");
}

TEST_F(ContactsLocksTest, SettingsReachTheConversationThatIsBeingMade) {
  pqxx::connection connection(database_.url());
  pqxx::work open(connection);
  open.exec("SELECT chat.open_direct(1, 2)");
  std::future<absl::StatusOr<Reachability>> settings = std::async(std::launch::async, [&] {
    return contacts_.UpdateSettings(kAnn, Reachability::kAnyone, New());
  });
  AwaitWaiting();
  open.commit();
  EXPECT_TRUE(settings.get().ok());
  EXPECT_EQ(PairVersion(kAnn, kBob), 2);
}

TEST_F(ContactsLocksTest, SettingsAndContactsThatMeetAreAllDone) {
  for (const int64_t other : {kBob, kEve}) BecomeContacts(kAnn, other);
  std::atomic<int> failed{0};
  const auto toggle = [&](int64_t user) {
    for (int i = 0; i < 30; ++i) {
      failed += !contacts_
                     .UpdateSettings(
                         user, i % 2 == 0 ? Reachability::kAnyone : Reachability::kContacts, New())
                     .ok();
    }
  };
  const auto block = [&](int64_t user, int64_t other) {
    for (int i = 0; i < 30; ++i) {
      failed += !contacts_.Block(user, other, New()).ok();
      failed += !contacts_.Unblock(user, other, New()).ok();
    }
  };
  AtOnce({[&] { toggle(kAnn); }, [&] { toggle(kBob); }, [&] { block(kAnn, kBob); },
          [&] { block(kBob, kAnn); }, [&] { block(kEve, kAnn); }});
  EXPECT_EQ(failed.load(), 0);
  for (const int64_t user : {kAnn, kBob, kEve}) ExpectDenseLog(user);
  EXPECT_EQ(Stands(kAnn, kBob), "contact");
  // Two requests and answers, 30 settings, 60 changes of the block.
  EXPECT_EQ(Position(kAnn), 4 + 30 + 60);
  // Once made; raised by every block and by both sides' settings.
  EXPECT_EQ(PairVersion(kAnn, kBob), 1 + 2 * 60 + 2 * 30);
}

}  // namespace
}  // namespace im::chat
