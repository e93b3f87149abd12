#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "common/base/error.h"
#include "services/chat/history_service.h"
#include "tests/chat/chat_fixture.h"

namespace im::chat {
namespace {

using im::testing::ChatFixture;
using im::testing::kAlice;
using im::testing::kBob;
using im::testing::kCarol;
using im::testing::kDave;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

TEST(RangesTest, OverlappingStaysAreOneRange) {
  EXPECT_THAT(VisibleRanges({{1, 1, 10}, {20, 1, std::nullopt}}, 30), ElementsAre(SeqRange{1, 30}));
  EXPECT_THAT(VisibleRanges({{1, 1, 10}, {20, 20, std::nullopt}}, 30),
              ElementsAre(SeqRange{1, 10}, SeqRange{20, 30}));
  EXPECT_THAT(VisibleRanges({{1, 1, 10}, {11, 11, 12}}, 30), ElementsAre(SeqRange{1, 12}));
  EXPECT_THAT(VisibleRanges({{0, 1, std::nullopt}}, 0), IsEmpty());
}

TEST(RangesTest, OldestAndNewestCutAcrossRanges) {
  const std::vector<SeqRange> ranges = {{1, 3}, {10, 12}};
  EXPECT_THAT(Oldest(ranges, 4), ElementsAre(SeqRange{1, 3}, SeqRange{10, 10}));
  EXPECT_THAT(Newest(ranges, 4), ElementsAre(SeqRange{3, 3}, SeqRange{10, 12}));
  EXPECT_THAT(Newest(ranges, 9), ElementsAre(SeqRange{1, 3}, SeqRange{10, 12}));
  EXPECT_THAT(Oldest(ranges, 0), IsEmpty());
  EXPECT_THAT(Clip(ranges, 3, 10), ElementsAre(SeqRange{3, 3}, SeqRange{10, 10}));
}

class HistoryTest : public ::testing::Test {
 protected:
  struct Read {
    std::vector<int64_t> seqs;
    int pages = 0;
  };

  // All pages of a list of entries, each in rising seq; put together in the order they came.
  Read ReadAll(int64_t user, v1::ListEntriesRequest request) {
    Read read;
    do {
      const auto page = ListEntries(store_, user, request);
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) return read;
      const bool back = request.from_case() != v1::ListEntriesRequest::kAfterSeq;
      std::vector<int64_t> seqs;
      for (const v1::Entry& entry : page->entries()) seqs.push_back(entry.seq());
      EXPECT_TRUE(std::is_sorted(seqs.begin(), seqs.end()));
      read.seqs.insert(back ? read.seqs.begin() : read.seqs.end(), seqs.begin(), seqs.end());
      request.set_page_token(page->next_page_token());
      ++read.pages;
    } while (!request.page_token().empty());
    return read;
  }
  std::vector<int64_t> Seqs(int64_t user, int64_t conversation) {
    v1::ListEntriesRequest request;
    request.set_conversation_id(conversation);
    return ReadAll(user, request).seqs;
  }
  // The ids of a page of conversations.
  std::vector<int64_t> Conversations(int64_t user) {
    std::vector<int64_t> ids;
    const auto views = store_.ListConversations(user, std::nullopt, 100);
    EXPECT_TRUE(views.ok()) << views.status();
    for (const ConversationView& view : *views) ids.push_back(view.id);
    return ids;
  }
  ConversationView Get(int64_t user, int64_t conversation) {
    const auto view = store_.GetConversation(user, conversation);
    EXPECT_TRUE(view.ok()) << view.status();
    return view.value_or(ConversationView{});
  }
  static std::vector<int64_t> Numbers(int64_t from, int64_t to) {
    std::vector<int64_t> numbers;
    for (int64_t i = from; i <= to; ++i) numbers.push_back(i);
    return numbers;
  }

  ChatFixture chat_;
  PgHistoryStore store_{&chat_.pool};
};

TEST_F(HistoryTest, AGroupAsItsMembersSeeIt) {
  const int64_t group = chat_.Group(kAlice, {kBob}, "tea");
  chat_.Say(group, kAlice, "hi");
  const ConversationView bob = Get(kBob, group);
  EXPECT_EQ(bob.kind, v1::CONVERSATION_KIND_GROUP);
  EXPECT_EQ(bob.title, "tea");
  EXPECT_EQ(bob.last_seq, 2);
  EXPECT_EQ(bob.unread, 1);
  EXPECT_EQ(bob.read_seq, 1);
  EXPECT_EQ(bob.role, v1::ROLE_MEMBER);
  EXPECT_EQ(bob.member_count, 2);
  EXPECT_EQ(bob.peer, 0);
  EXPECT_FALSE(bob.peer_watermark.has_value());
  ASSERT_EQ(bob.stays.size(), 1u);
  EXPECT_EQ(bob.stays[0].join_seq, 1);
  ASSERT_TRUE(bob.last_entry.has_value());
  EXPECT_EQ(ToProto(bob).last_entry().message().text().body(), "hi");
  EXPECT_EQ(ToProto(bob).last_at().seconds(), bob.last_entry->at / 1000000);
  const ConversationView alice = Get(kAlice, group);
  EXPECT_EQ(alice.unread, 0);
  EXPECT_EQ(alice.role, v1::ROLE_FOUNDER);
  EXPECT_THAT(ReasonOf(store_.GetConversation(kCarol, group).status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  EXPECT_THAT(ReasonOf(store_.GetConversation(kAlice, group + 99).status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
}

TEST_F(HistoryTest, ADirectConversationIsListedOnceItHoldsSomething) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  EXPECT_THAT(Conversations(kAlice), IsEmpty());
  EXPECT_THAT(Conversations(kBob), IsEmpty());
  // To Bob, who did not open it, it is not there, whatever he tries.
  v1::ListEntriesRequest request;
  request.set_conversation_id(direct);
  for (const absl::Status& status : {store_.GetConversation(kBob, direct).status(),
                                     store_.ListMembers(kBob, direct, 0, 9).status(),
                                     store_.ListWatermarks(kBob, direct, 0, 9).status(),
                                     ListEntries(store_, kBob, request).status()}) {
    EXPECT_THAT(ReasonOf(status), Optional(Reason::CONVERSATION_NOT_FOUND));
  }
  EXPECT_EQ(ListEntries(store_, kAlice, request)->entries_size(), 0);
  EXPECT_EQ(store_.ListMembers(kAlice, direct, 0, 9)->size(), 2U);
  EXPECT_EQ(Get(kAlice, direct).last_seq, 0);
  EXPECT_FALSE(Get(kAlice, direct).last_entry.has_value());
  chat_.Say(direct, kAlice, "hi");
  EXPECT_THAT(Conversations(kBob), ElementsAre(direct));
  const ConversationView bob = Get(kBob, direct);
  EXPECT_EQ(bob.peer, kAlice);
  EXPECT_EQ(bob.unread, 1);
  EXPECT_EQ(bob.member_count, 2);
  ASSERT_TRUE(bob.peer_watermark.has_value());
  EXPECT_EQ(bob.peer_watermark->user_id, kAlice);
  EXPECT_EQ(bob.peer_watermark->read_seq, 1);
  EXPECT_EQ(Get(kAlice, direct).peer_watermark->read_seq, 0);
}

TEST_F(HistoryTest, ConversationsComeByTheirLastEntryPageByPage) {
  std::vector<int64_t> groups;
  for (int i = 0; i < 7; ++i) groups.push_back(chat_.Group(kAlice, {kBob}));
  chat_.Say(groups[2], kBob, "newest");
  std::vector<int64_t> ids;
  std::optional<ListPlace> place;
  while (true) {
    const auto page = store_.ListConversations(kAlice, place, 3);
    ASSERT_TRUE(page.ok());
    if (page->empty()) break;
    for (const ConversationView& view : *page) ids.push_back(view.id);
    place = ListPlace{page->back().last_at, page->back().id};
  }
  EXPECT_THAT(ids, ElementsAre(groups[2], groups[6], groups[5], groups[4], groups[3], groups[1],
                               groups[0]));
}

TEST_F(HistoryTest, WhatIsBetweenStaysIsNeverSeen) {
  const int64_t group = chat_.Group(kAlice, {kBob}, "tea");  // 1
  chat_.Say(group, kAlice, "a", 3);                          // 2..4
  EXPECT_EQ(chat_.Leave(group, kBob), 5);
  chat_.Say(group, kAlice, "secret", 4);  // 6..9
  chat_.Rename(group, kAlice, "coffee");  // 10

  ConversationView bob = Get(kBob, group);
  EXPECT_EQ(bob.title, "tea");
  EXPECT_EQ(bob.last_seq, 5);
  EXPECT_EQ(bob.last_entry->kind, EntryKind::kMemberLeft);
  EXPECT_EQ(bob.last_at, bob.last_entry->at);
  EXPECT_EQ(bob.unread, 3);
  EXPECT_EQ(bob.role, v1::ROLE_UNSPECIFIED);
  EXPECT_EQ(bob.member_count, 0);
  EXPECT_THAT(Conversations(kBob), ElementsAre(group));
  EXPECT_EQ(Seqs(kBob, group), Numbers(1, 5));

  EXPECT_EQ(chat_.Return(group, kBob), 11);
  chat_.Say(group, kAlice, "b", 2);  // 12, 13
  EXPECT_THAT(Seqs(kBob, group), ElementsAre(1, 2, 3, 4, 5, 11, 12, 13));
  bob = Get(kBob, group);
  EXPECT_EQ(bob.title, "coffee");
  EXPECT_EQ(bob.unread, 2);
  ASSERT_EQ(bob.stays.size(), 2u);
  EXPECT_THAT(bob.stays[0].end_seq, Optional(5));
  EXPECT_EQ(bob.stays[1].first_seq, 11);

  v1::ListEntriesRequest request;
  request.set_conversation_id(group);
  request.set_page_size(2);
  for (const int64_t before : {0, 1, 6, 8, 11, 12, 1000}) {
    request.set_before_seq(before);
    std::vector<int64_t> expected;
    for (const int64_t seq : {1, 2, 3, 4, 5, 11, 12, 13}) {
      if (seq < before) expected.push_back(seq);
    }
    EXPECT_EQ(ReadAll(kBob, request).seqs, expected) << before;
  }
  for (const int64_t after : {0, 4, 5, 7, 10, 13, 1000}) {
    request.set_after_seq(after);
    std::vector<int64_t> expected;
    for (const int64_t seq : {1, 2, 3, 4, 5, 11, 12, 13}) {
      if (seq > after) expected.push_back(seq);
    }
    EXPECT_EQ(ReadAll(kBob, request).seqs, expected) << after;
  }
  request.set_after_seq(3);
  request.set_to_seq(12);
  EXPECT_THAT(ReadAll(kBob, request).seqs, ElementsAre(4, 5, 11, 12));
  EXPECT_THAT(Seqs(kAlice, group), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13));
}

TEST_F(HistoryTest, AGroupThatShowsItsHistoryShowsItOnce) {
  const int64_t group = chat_.Group(kAlice, {kBob}, "tea", /*open_history=*/true);
  chat_.Say(group, kAlice, "a", 3);
  chat_.Leave(group, kBob);
  chat_.Say(group, kAlice, "meanwhile", 4);
  EXPECT_EQ(Seqs(kBob, group), Numbers(1, 5));
  chat_.Return(group, kBob);
  chat_.Add(group, kAlice, {kCarol});
  EXPECT_EQ(Seqs(kBob, group), Numbers(1, 11));
  EXPECT_EQ(Seqs(kCarol, group), Numbers(1, 11));
  EXPECT_EQ(Get(kCarol, group).unread, 0);
}

TEST_F(HistoryTest, MoreStaysThanAViewHolds) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  for (int i = 0; i < 110; ++i) {
    chat_.Leave(group, kBob);
    chat_.Say(group, kAlice, "between");
    chat_.Return(group, kBob);
  }
  const ConversationView bob = Get(kBob, group);
  EXPECT_EQ(bob.stays.size(), 100u);
  EXPECT_FALSE(bob.stays.back().end_seq.has_value());
  EXPECT_GT(bob.omitted_end_seq, 0);
  EXPECT_LT(bob.omitted_end_seq, bob.stays.front().join_seq);
  // 1 + 110 * (left, returned): none of the 110 messages.
  v1::ListEntriesRequest request;
  request.set_conversation_id(group);
  request.set_page_size(7);
  const std::vector<int64_t> back = ReadAll(kBob, request).seqs;
  EXPECT_EQ(back.size(), 221u);
  request.set_after_seq(0);
  EXPECT_EQ(ReadAll(kBob, request).seqs, back);
}

TEST_F(HistoryTest, PagesAreWholeWhileOthersWrite) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, "x", 400);
  std::thread writer([&] {
    for (int i = 0; i < 40; ++i) chat_.Say(group, kBob, "y", 5);
  });
  v1::ListEntriesRequest request;
  request.set_conversation_id(group);
  request.set_page_size(7);
  const std::vector<int64_t> back = ReadAll(kAlice, request).seqs;
  EXPECT_EQ(back, Numbers(1, static_cast<int64_t>(back.size())));
  EXPECT_GE(back.size(), 401u);
  request.set_after_seq(0);
  request.set_to_seq(300);
  EXPECT_EQ(ReadAll(kAlice, request).seqs, Numbers(1, 300));
  request.clear_to_seq();
  const std::vector<int64_t> forward = ReadAll(kAlice, request).seqs;
  EXPECT_EQ(forward, Numbers(1, static_cast<int64_t>(forward.size())));
  writer.join();
  EXPECT_EQ(Seqs(kAlice, group), Numbers(1, 601));
}

TEST_F(HistoryTest, PagesOfLongMessagesAreCut) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, std::string(16000, 'x'), 100);
  v1::ListEntriesRequest request;
  request.set_conversation_id(group);
  request.set_page_size(200);
  const auto page = ListEntries(store_, kAlice, request);
  ASSERT_TRUE(page.ok());
  EXPECT_LT(page->ByteSizeLong(), 700u << 10);
  EXPECT_EQ(page->entries().rbegin()->seq(), 101);
  EXPECT_EQ(Seqs(kAlice, group), Numbers(1, 101));
  request.set_after_seq(0);
  EXPECT_EQ(ReadAll(kAlice, request).seqs, Numbers(1, 101));
}

TEST_F(HistoryTest, MembersAndWatermarksAreForMembers) {
  const int64_t group = chat_.Group(kAlice, {kBob, kCarol});
  chat_.Leave(group, kCarol);
  chat_.Say(group, kBob, "hi");
  const auto members = store_.ListMembers(kAlice, group, 0, 10);
  ASSERT_TRUE(members.ok());
  ASSERT_EQ(members->size(), 2u);
  EXPECT_EQ((*members)[0].user_id, kAlice);
  EXPECT_EQ((*members)[0].role, v1::ROLE_FOUNDER);
  EXPECT_EQ((*members)[1].user_id, kBob);
  EXPECT_THAT(*store_.ListMembers(kAlice, group, kBob, 10), IsEmpty());
  const auto watermarks = store_.ListWatermarks(kAlice, group, 0, 10);
  ASSERT_TRUE(watermarks.ok());
  ASSERT_EQ(watermarks->size(), 2u);
  EXPECT_EQ((*watermarks)[1].read_seq, 3);
  EXPECT_EQ((*watermarks)[1].delivered_seq, 3);
  EXPECT_THAT(ReasonOf(store_.ListMembers(kCarol, group, 0, 10).status()),
              Optional(Reason::NOT_A_MEMBER));
  EXPECT_THAT(ReasonOf(store_.ListWatermarks(kCarol, group, 0, 10).status()),
              Optional(Reason::NOT_A_MEMBER));
  EXPECT_THAT(ReasonOf(store_.ListMembers(kDave, group, 0, 10).status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  EXPECT_THAT(ReasonOf(store_.ListWatermarks(kDave, group, 0, 10).status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
}

TEST_F(HistoryTest, BadRequestsOfEntries) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, "x", 9);
  v1::ListEntriesRequest request;
  request.set_conversation_id(group);
  EXPECT_THAT(ReasonOf(ListEntries(store_, kCarol, request).status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
  request.set_before_seq(-1);
  EXPECT_THAT(ReasonOf(ListEntries(store_, kAlice, request).status()),
              Optional(Reason::INVALID_FIELD));
  request.set_after_seq(-1);
  EXPECT_THAT(ReasonOf(ListEntries(store_, kAlice, request).status()),
              Optional(Reason::INVALID_FIELD));
  request.set_after_seq(INT64_MAX);
  EXPECT_THAT(ListEntries(store_, kAlice, request)->entries(), IsEmpty());
  request.set_after_seq(0);
  request.set_page_size(-1);
  EXPECT_THAT(ReasonOf(ListEntries(store_, kAlice, request).status()),
              Optional(Reason::INVALID_FIELD));
  request.set_page_size(3);
  for (const char* token : {"x", "AAAA", "\xff\xfe", "AAAAAAAAAAAAAAAAAAAAAA"}) {
    request.set_page_token(token);
    EXPECT_THAT(ReasonOf(ListEntries(store_, kAlice, request).status()),
                Optional(Reason::PAGE_TOKEN_INVALID));
  }
  request.clear_page_token();
  request.set_page_token(ListEntries(store_, kAlice, request)->next_page_token());
  ASSERT_FALSE(request.page_token().empty());
  EXPECT_EQ(ListEntries(store_, kAlice, request)->entries(0).seq(), 4);
  // Of the same list only.
  request.set_after_seq(1);
  EXPECT_THAT(ReasonOf(ListEntries(store_, kAlice, request).status()),
              Optional(Reason::PAGE_TOKEN_INVALID));
}

// To plan takes longer than to read a page, or the few conversations that a resume asks for at
// once.
TEST_F(HistoryTest, PlansAreKept) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  pg::Pool pool({.url = chat_.database.UrlOf("chat"), .connections = 1});
  const PgHistoryStore store(&pool);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(store.FindConversations(kAlice, {group}).ok());
    ASSERT_TRUE(store.ListEntries(kAlice, group, {}).ok());
    ASSERT_TRUE(store.ListEntries(kAlice, group, {.forward = true}).ok());
  }
  const auto kept = pool.Read([](pg::Session& session) {
    return session
        .Exec("SELECT count(*) FROM pg_prepared_statements WHERE generic_plans > 10")[0][0]
        .as<int>();
  });
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(*kept, 3);
}

// While ANALYZE samples, no old version of a row goes: see migrations/0006_upkeep.sql.
TEST_F(HistoryTest, AnalyzeLooksAtLittle) {
  EXPECT_EQ(chat_.database.Value(
                "SELECT coalesce(string_agg(attrelid::regclass || '.' || attname, ' '), '') "
                "FROM pg_attribute WHERE attrelid IN ('chat.entries'::regclass, "
                "'chat.conversations'::regclass, 'chat.members'::regclass, "
                "'chat.own_log'::regclass) AND attnum > 0 AND NOT attisdropped "
                "AND attstattarget NOT BETWEEN 0 AND 10"),
            "");
}

// What one page costs must not depend on how much was said.
TEST_F(HistoryTest, PagesGoByKey) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  // Its summaries, made by autovacuum, would count as reads.
  chat_.database.Exec("DROP INDEX chat.entries_at");
  chat_.database.Exec(
      "INSERT INTO chat.entries (conversation_id, seq, sender_user_id, at, request_id, "
      "request_hash,"
      " kind, content, count) SELECT " +
      std::to_string(group) +
      ", n, 101, clock_timestamp(), gen_random_uuid(), 0, 10, '\\x', n FROM "
      "generate_series(2, 200000) n");
  chat_.database.Exec("UPDATE chat.conversations SET last_seq = 200000 WHERE id = " +
                      std::to_string(group));
  chat_.database.Exec("ANALYZE chat.entries");
  const auto reads = [&] {
    return chat_.Number(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables "
        "WHERE schemaname = 'chat' AND relname = 'entries'");
  };
  v1::ListEntriesRequest request;
  request.set_conversation_id(group);
  pg::Pool pool({.url = chat_.database.UrlOf("chat"), .connections = 1});
  const PgHistoryStore store(&pool);
  // Makes the connection report what it did.
  const auto report = [&] {
    ASSERT_TRUE(
        pool.Read([](pg::Session& session) { session.Exec("SELECT pg_stat_force_next_flush()"); })
            .ok());
  };
  report();
  const int64_t before = reads();
  for (int i = 0; i < 10; ++i) {
    request.set_before_seq(100000);
    ASSERT_EQ(ListEntries(store, kAlice, request)->entries_size(), 50);
    request.set_after_seq(150000);
    ASSERT_EQ(ListEntries(store, kAlice, request)->entries_size(), 50);
    ASSERT_TRUE(store.GetConversation(kAlice, group).ok());
    ASSERT_EQ(store.ListConversations(kAlice, std::nullopt, 50)->size(), 1u);
  }
  report();
  const int64_t read = reads() - before;
  EXPECT_GE(read, 1000);
  EXPECT_LT(read, 2000);
}

}  // namespace
}  // namespace im::chat
