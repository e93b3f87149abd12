#include "services/chat/writer.h"

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "common/base/error.h"
#include "tests/chat/writer_fixture.h"

namespace im::chat {
namespace {

using ::testing::Optional;

constexpr std::chrono::milliseconds kMoment(30);

TEST_F(WriterTest, StoresInOrderWithDenseSeqAndRunningCount) {
  std::vector<Future> futures;
  for (int i = 0; i < 200; ++i) {
    futures.push_back(Send(i % 2 == 0 ? direct_ : group_, kAnn, std::to_string(i)));
  }
  int64_t direct_seq = 0, group_seq = 1;
  for (int i = 0; i < 200; ++i) {
    const absl::StatusOr<Entry> entry = futures[i].get();
    ASSERT_TRUE(entry.ok()) << entry.status();
    EXPECT_EQ(entry->seq, i % 2 == 0 ? ++direct_seq : ++group_seq);
    EXPECT_EQ(entry->count, i / 2 + 1);
  }
  EXPECT_EQ(database_.Value("SELECT count(*) FROM chat.entries"), "201");
  // Sending reads one's own.
  EXPECT_EQ(database_.Value("SELECT read_seq || '/' || read_count FROM chat.members "
                            "WHERE user_id = 1 AND conversation_id = " +
                            std::to_string(group_)),
            "101/100");
}

// A batch of one is another function of the database.
TEST_F(WriterTest, OneMessageLeavesTheSameRowsAsSeveral) {
  const auto append = [&](std::vector<int64_t> conversations) {
    std::vector<std::unique_ptr<Entry>> entries;
    AppendBatch batch;
    for (const int64_t id : conversations) {
      batch.conversations.push_back({id, 0, 1, 1, 1});
      entries.push_back(std::make_unique<Entry>());
      Entry& entry = *entries.back();
      entry.conversation_id = id;
      entry.seq = entry.count = 1;
      entry.sender = kEve;
      entry.request_id = std::string(16, '\x11');
      entry.request_hash = 7;
      entry.content = std::string("a\0\xff'", 4);
      batch.entries.push_back(&entry);
      batch.join_seqs.push_back(0);
    }
    const absl::StatusOr<AppendResult> result = store_.Append(batch, /*wait=*/false);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->stored());
    for (const auto& entry : entries) EXPECT_GT(entry->at, 0);
  };
  database_.Exec("INSERT INTO chat.users (user_id) VALUES (3), (4), (5), (6)");
  const int64_t alone = *store_.OpenDirect(kEve, 4);
  const int64_t beside = *store_.OpenDirect(kEve, 5);
  append({alone});
  append({beside, *store_.OpenDirect(kEve, 6)});
  // All columns but the ids and times.
  const auto rows = [&](const std::string& table, const std::string& key, int64_t id) {
    return database_.Value(
        "SELECT string_agg(regexp_replace((to_jsonb(t) - 'id' - 'conversation_id'"
        " - 'at' - 'last_at' - 'high_user_id')::text, '\"user_id\": [456]', ''),"
        " ' ' ORDER BY t::text) FROM chat." +
        table + " t WHERE " + key + " = " + std::to_string(id));
  };
  for (const auto& [table, key] : {std::pair("conversations", "id"),
                                   {"members", "conversation_id"},
                                   {"entries", "conversation_id"}}) {
    const std::string row = rows(table, key, alone);
    EXPECT_NE(row, "");
    EXPECT_EQ(row, rows(table, key, beside)) << table;
  }
  EXPECT_EQ(database_.Value(
                "SELECT count(*) FROM chat.entries e JOIN chat.conversations c "
                "ON c.id = e.conversation_id AND c.last_at = e.at WHERE e.sender_user_id = 3"),
            "3");
}

TEST_F(WriterTest, ARepetitionGetsTheFirstAnswerAlsoWithinABatch) {
  const std::string id = RandomBytes(16);
  std::vector<Future> futures;
  for (int i = 0; i < 5; ++i) futures.push_back(Send(direct_, kAnn, "once", id));
  for (Future& future : futures) EXPECT_EQ(future.get()->seq, 1);
  EXPECT_THAT(ReasonOf(Send(direct_, kAnn, "twice", id).get().status()),
              Optional(Reason::REQUEST_ID_REUSED));
  // Somebody else may use the same id.
  EXPECT_EQ(Send(direct_, kBob, "mine", id).get()->seq, 2);
  EXPECT_EQ(Contents(direct_), "once mine");
}

// Else a repetition would do what the first had not to do, once others have changed something.
TEST_F(WriterTest, WhatHadNothingToDoHasNothingToDoWhenItIsRepeated) {
  const std::string id = RandomBytes(16);
  const auto change = [&](const std::string& request_id, bool nothing) {
    return Change(kAnn, request_id,
                  [nothing](const ConversationState&, const std::optional<LastStay>&) {
                    ChangePlan plan;
                    if (!nothing) {
                      plan.entry_kind = EntryKind::kGroupRenamed;
                      plan.title = "another";
                    }
                    return plan;
                  });
  };
  ASSERT_EQ(change(id, true).value(), std::nullopt);
  EXPECT_EQ(change(id, false).value(), std::nullopt);
  EXPECT_NE(change(RandomBytes(16), false).value(), std::nullopt);
  EXPECT_EQ(change(id, false).value(), std::nullopt);
}

TEST_F(WriterTest, OneKnownRequestDoesNotSpoilTheBatch) {
  const std::string id = RandomBytes(16);
  ASSERT_TRUE(Send(direct_, kAnn, "a", id).get().ok());
  std::vector<Future> futures;
  futures.push_back(Send(direct_, kAnn, "b"));
  futures.push_back(Send(direct_, kAnn, "a", id));
  futures.push_back(Send(direct_, kAnn, "c"));
  EXPECT_EQ(futures[0].get()->seq, 2);
  EXPECT_EQ(futures[1].get()->seq, 1);
  EXPECT_EQ(futures[2].get()->seq, 3);
}

// Plans are kept, those too that are made while there is nothing stored.
TEST_F(WriterTest, GoesByKeysFromTheFirstMessage) {
  {
    Writer writer({.database_url = database_.UrlOf("chat")}, &publisher_, &epoch_);
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(Send(direct_, kAnn, "x", RandomBytes(16), &writer).get().ok());
    }
  }
  // A connection reports what it did when it ends, if not before.
  const auto number = [&](const std::string& what) {
    return std::stoi(database_.Value("SELECT sum(" + what +
                                     ") FROM pg_stat_user_tables WHERE schemaname = 'chat' AND "
                                     "relname IN ('entries', 'conversations', 'members')"));
  };
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (number("n_tup_ins") < 200 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_GE(number("n_tup_ins"), 200);
  EXPECT_LT(number("seq_tup_read"), 1000);
}

TEST_F(WriterTest, RefusalsAreReadAfresh) {
  ASSERT_TRUE(Send(direct_, kAnn, "a").get().ok());
  database_.Exec(
      "SELECT chat.raise_pair(1, 2); INSERT INTO chat.contacts (user_id, other_user_id, blocked) "
      "VALUES (2, 1, true)");
  EXPECT_THAT(ReasonOf(Send(direct_, kAnn, "b").get().status()),
              Optional(Reason::RECIPIENT_REFUSES));
  EXPECT_THAT(ReasonOf(Send(direct_, kBob, "b").get().status()),
              Optional(Reason::BLOCKED_BY_CALLER));
  database_.Exec("UPDATE chat.contacts SET blocked = false; SELECT chat.raise_pair(1, 2)");
  EXPECT_TRUE(Send(direct_, kAnn, "c").get().ok());
  EXPECT_EQ(Contents(direct_), "a c");
}

TEST_F(WriterTest, TypingGoesByWhatHoldsNow) {
  const auto type = [this] {
    std::promise<absl::Status> promise;
    TypingItem item;
    item.conversation_id = direct_;
    item.user = kAnn;
    item.typing = true;
    item.done = [&](absl::Status status) { promise.set_value(status); };
    writer_.Submit(std::move(item));
    return promise.get_future().get();
  };
  EXPECT_TRUE(type().ok());
  database_.Exec(
      "SELECT chat.raise_pair(1, 2); INSERT INTO chat.contacts (user_id, other_user_id, blocked) "
      "VALUES (2, 1, true)");
  EXPECT_THAT(ReasonOf(type()), Optional(Reason::RECIPIENT_REFUSES));
  database_.Exec("SELECT chat.raise_pair(1, 2); DELETE FROM chat.contacts");
  EXPECT_TRUE(type().ok());
}

TEST_F(WriterTest, StrangersAndFormerMembersAreToldApart) {
  EXPECT_THAT(ReasonOf(Send(group_, kEve, "x").get().status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  EXPECT_THAT(ReasonOf(Send(999, kEve, "x").get().status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  ASSERT_TRUE(Change(kBob, RandomBytes(16), [](const ConversationState& state, auto&) {
                return PlanLeave(state, kBob);
              }).ok());
  EXPECT_THAT(ReasonOf(Send(group_, kBob, "x").get().status()), Optional(Reason::NOT_A_MEMBER));
}

TEST_F(WriterTest, WhoWroteFirstMayBeAnswered) {
  database_.Exec("UPDATE chat.users SET reachability = 1 WHERE user_id = 1");
  // Ann opened it, so to Bob it is not there yet.
  EXPECT_THAT(ReasonOf(Send(direct_, kBob, "hello?").get().status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  ASSERT_TRUE(store_.OpenDirect(kBob, kAnn).ok());
  EXPECT_THAT(ReasonOf(Send(direct_, kBob, "hello?").get().status()),
              Optional(Reason::RECIPIENT_REFUSES));
  ASSERT_TRUE(Send(direct_, kAnn, "hi").get().ok());
  EXPECT_TRUE(Send(direct_, kBob, "hello").get().ok());
}

TEST_F(WriterTest, TwoWritersThatBothBelieveToOwnAConversation) {
  Writer other({.database_url = database_.UrlOf("chat")}, &publisher_, &epoch_);
  std::vector<Future> futures;
  for (int i = 0; i < 100; ++i) {
    futures.push_back(Send(direct_, kAnn, "a", RandomBytes(16), &writer_));
    futures.push_back(Send(direct_, kBob, "b", RandomBytes(16), &other));
  }
  for (Future& future : futures) {
    const absl::StatusOr<Entry> entry = future.get();
    ASSERT_TRUE(entry.ok()) << entry.status();
  }
  EXPECT_EQ(
      database_.Value("SELECT count(*) || '/' || max(seq) || '/' || max(count) FROM chat.entries "
                      "WHERE conversation_id = " +
                      std::to_string(direct_)),
      "200/200/200");
}

TEST_F(WriterTest, AMemberAddedThroughOneWriterSendsThroughTheOtherAtOnce) {
  Writer other({.database_url = database_.UrlOf("chat")}, &publisher_, &epoch_);
  ASSERT_TRUE(Send(group_, kBob, "warm", RandomBytes(16), &other).get().ok());
  ASSERT_TRUE(Change(kAnn, RandomBytes(16), [](const ConversationState& state, auto&) {
                return PlanAdd(state, kAnn, {kEve});
              }).ok());
  EXPECT_TRUE(Send(group_, kEve, "hi", RandomBytes(16), &other).get().ok());
  ASSERT_TRUE(Change(kAnn, RandomBytes(16), [](const ConversationState& state, auto&) {
                return PlanRemove(state, kAnn, kEve);
              }).ok());
  EXPECT_THAT(ReasonOf(Send(group_, kEve, "hi", RandomBytes(16), &other).get().status()),
              Optional(Reason::NOT_A_MEMBER));
}

// As one that is stopped while it reads, and whose sender another instance has refused meanwhile.
TEST_F(WriterTest, WhatTookTooLongToReadIsNotStored) {
  Writer other({.database_url = database_.UrlOf("chat"), .queue = {.stale = kMoment}}, &publisher_,
               &epoch_);
  ASSERT_TRUE(Send(group_, kBob, "warm").get().ok());
  (void)Send(group_, kBob, "its state is known now", RandomBytes(16), &other).get();
  ASSERT_TRUE(Change(kAnn, RandomBytes(16), [](const ConversationState& state, auto&) {
                return PlanAdd(state, kAnn, {kEve});
              }).ok());
  const std::string before = Contents(group_);
  pqxx::connection holder(database_.url());
  pqxx::work lock(holder);
  lock.exec("LOCK TABLE chat.conversations IN ACCESS EXCLUSIVE MODE");
  Future late = Send(group_, kEve, "late", RandomBytes(16), &other);
  std::this_thread::sleep_for(2 * kMoment);
  lock.commit();
  EXPECT_FALSE(late.get().ok());
  EXPECT_EQ(Contents(group_), before);
}

TEST_F(WriterTest, WhoHasBlockedMeanwhileIsNotAdded) {
  const auto add = [&] {
    return Change(kAnn, RandomBytes(16), [&](const ConversationState& state, auto&) {
      // After whatever was checked before.
      database_.Exec(
          "INSERT INTO chat.contacts (user_id, other_user_id, blocked) "
          "VALUES (3, 1, true) ON CONFLICT DO NOTHING");
      return PlanAdd(state, kAnn, {kEve});
    });
  };
  EXPECT_THAT(ReasonOf(add().status()), Optional(Reason::MEMBER_REFUSED));
  EXPECT_THAT(
      ReasonOf(store_.CreateGroup(kAnn, RandomBytes(16), 1, "t", false, {kAnn, kEve}, "").status()),
      Optional(Reason::MEMBER_REFUSED));
  EXPECT_EQ(database_.Value("SELECT count(*) FROM chat.members WHERE user_id = 3"), "0");
}

// A connection that breaks between the two reads of a refresh.
TEST_F(WriterTest, AStateIsTakenOverWholeOrNotAtAll) {
  ConversationState state;
  state.id = group_;
  ASSERT_TRUE(store_.Refresh({&state}).ok());
  ASSERT_EQ(state.members.size(), 2U);
  ASSERT_TRUE(Change(kBob, RandomBytes(16), [](const ConversationState& now, auto&) {
                return PlanLeave(now, kBob);
              }).ok());
  const int64_t version = state.version;
  database_.Exec("ALTER TABLE chat.members RENAME COLUMN closed_seq TO elsewhere");
  EXPECT_FALSE(store_.Refresh({&state}).ok());
  EXPECT_EQ(state.version, version);
  EXPECT_EQ(state.members.size(), 2U);
  database_.Exec("ALTER TABLE chat.members RENAME COLUMN elsewhere TO closed_seq");
  ASSERT_TRUE(store_.Refresh({&state}).ok());
  EXPECT_GT(state.version, version);
  EXPECT_EQ(state.members.size(), 1U);
}

TEST_F(WriterTest, AFounderLeavesAndComesBack) {
  const std::string leave = RandomBytes(16);
  const auto plan_leave = [](const ConversationState& state, auto&) {
    return PlanLeave(state, kAnn);
  };
  const auto left = Change(kAnn, leave, plan_leave);
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_EQ((*left)->seq, 2);
  // Repeated, it says the same.
  EXPECT_EQ((*Change(kAnn, leave, plan_leave))->seq, 2);
  ASSERT_TRUE(Send(group_, kBob, "while away").get().ok());
  const auto back = Change(kAnn, RandomBytes(16),
                           [](const ConversationState& state, const std::optional<LastStay>& stay) {
                             return PlanReturn(state, kAnn, stay);
                           });
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ((*back)->seq, 4);
  EXPECT_EQ(
      database_.Value(
          "SELECT string_agg(join_seq || '-' || coalesce(end_seq::text, '') || '/' || role, ' ' "
          "ORDER BY join_seq) FROM chat.members WHERE user_id = 1 AND conversation_id = " +
          std::to_string(group_)),
      "1-2/3 4-/3");
}

TEST_F(WriterTest, WhoWasRemovedMayNotComeBackAlone) {
  ASSERT_TRUE(Change(kAnn, RandomBytes(16), [](const ConversationState& state, auto&) {
                return PlanRemove(state, kAnn, kBob);
              }).ok());
  EXPECT_THAT(
      ReasonOf(Change(kBob, RandomBytes(16),
                      [](const ConversationState& state, const std::optional<LastStay>& stay) {
                        return PlanReturn(state, kBob, stay);
                      })
                   .status()),
      Optional(Reason::NOT_ALLOWED));
}

TEST_F(WriterTest, ALockedConversationHoldsUpNoOther) {
  ASSERT_TRUE(Send(direct_, kAnn, "warm").get().ok());
  ASSERT_TRUE(Send(group_, kAnn, "warm").get().ok());
  pqxx::connection holder(database_.url());
  pqxx::work lock(holder);
  lock.exec("SELECT 1 FROM chat.conversations WHERE id = " + std::to_string(direct_) +
            " FOR UPDATE");
  Future held = Send(direct_, kAnn, "held");
  Future free = Send(group_, kAnn, "free");
  EXPECT_TRUE(free.get().ok());
  EXPECT_THAT(ReasonOf(held.get().status()), Optional(Reason::CONVERSATION_BUSY));
  lock.commit();
  EXPECT_TRUE(Send(direct_, kAnn, "free again").get().ok());
}

TEST_F(WriterTest, ALostDatabaseIsSaidAndRecoveredFrom) {
  ASSERT_TRUE(Send(direct_, kAnn, "a").get().ok());
  database_.Exec(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
      "AND pid <> pg_backend_pid()");
  const std::string id = RandomBytes(16);
  absl::StatusOr<Entry> entry = Send(direct_, kAnn, "b", id).get();
  if (!entry.ok()) {
    EXPECT_EQ(entry.status().code(), absl::StatusCode::kUnavailable) << entry.status();
    entry = Send(direct_, kAnn, "b", id).get();
  }
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->seq, 2);
}

TEST_F(WriterTest, DataThatWentBackGetsAnotherEpoch) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Send(direct_, kAnn, "a").get().ok());
  const int64_t before = epoch_.current();
  ASSERT_NE(before, 0);
  const std::string id = std::to_string(direct_);
  database_.Exec("DELETE FROM chat.entries WHERE seq > 1 AND conversation_id = " + id +
                 "; UPDATE chat.conversations SET last_seq = 1, last_count = 1 WHERE id = " + id);
  const absl::StatusOr<Entry> entry = Send(direct_, kAnn, "b").get();
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->seq, 2);
  EXPECT_NE(epoch_.current(), before);
}

}  // namespace
}  // namespace im::chat
