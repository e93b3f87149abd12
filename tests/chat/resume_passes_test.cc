#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <set>
#include <thread>

#include "tests/chat/resume_fixture.h"

namespace im::chat {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using ResumePassesTest = ResumeTest;

TEST_F(ResumePassesTest, LongPagesAreSplitByBytes) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  const int64_t other = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kBob, std::string(10000, 'x'), 120);
  chat_.Say(other, kBob, std::string(10000, 'x'), 120);
  const Resumed resumed = Resume(1, Have({{group, 1}, {other, 1}}));
  EXPECT_EQ(resumed.by_conversation.at(group), Join({"c121"}, Entries(2, 121)));
  EXPECT_EQ(resumed.by_conversation.at(other), Join({"c121"}, Entries(2, 121)));
  EXPECT_THAT(resumed.conversations, ElementsAre(other, group));
  EXPECT_GE(resumed.page_bytes.size(), 9u);
  for (const size_t bytes : resumed.page_bytes) EXPECT_LT(bytes, (256u << 10) + 11000);
}

// However pages are cut, nothing is left out, repeated or out of order; also while others write.
TEST_F(ResumePassesTest, TinyPages) {
  MakePasses({.page_conversations = 2, .page_bytes = 300});
  std::vector<std::pair<int64_t, int64_t>> half;
  std::vector<int64_t> groups;
  for (int i = 0; i < 5; ++i) {
    groups.push_back(chat_.Group(kAlice, {kBob}));
    chat_.Say(groups.back(), kBob, "x", 20 + i);
    half.emplace_back(groups.back(), 10);
  }
  gateway_->Have(1, Have(half));
  for (const int64_t group : groups) chat_.Say(group, kBob, "meanwhile", 3);
  const Resumed resumed = Receive(1);
  for (int i = 0; i < 5; ++i) {
    const std::vector<std::string>& seen = resumed.by_conversation.at(groups[i]);
    const int64_t last = 10 + static_cast<int64_t>(seen.size()) - 1;
    EXPECT_GE(last, 21 + i);
    EXPECT_LE(last, 24 + i);
    EXPECT_EQ(seen, Join({"c" + std::to_string(last)}, Entries(11, last)));
  }
  EXPECT_GT(resumed.page_bytes.size(), 10u);
}

// Random lives of groups, with a device that comes and goes: what it is sent is exactly what its
// owner may see and it lacks, by a model that knows nothing of stays and ranges.
TEST_F(ResumePassesTest, RandomHistories) {
  struct Group {
    int64_t id = 0;
    bool open = false;
    int64_t last = 1;
    std::set<int64_t> members;
    // What Bob may see, and what his device has or knows to be a gap.
    std::set<int64_t> visible, had;
    int64_t newest_had = 0;
  };
  const uint32_t seed = RandomBelow(1u << 30);
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<Group> groups;
  for (int i = 0; i < 4; ++i) {
    Group group;
    group.open = i % 2 == 1;
    group.id = chat_.Group(kAlice, {kBob, kCarol}, "g", group.open);
    group.members = {kAlice, kBob, kCarol};
    group.visible = {1};
    groups.push_back(group);
  }
  const auto happened = [](Group* group, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      ++group->last;
      if (group->members.count(kBob) > 0) group->visible.insert(group->last);
    }
  };
  for (int round = 0; round < 25; ++round) {
    for (int step = below(12); step >= 0; --step) {
      Group& group = groups[below(4)];
      const bool bob = group.members.count(kBob) > 0;
      switch (below(6)) {
        case 0:
        case 1: {
          const int count = 1 + below(below(4) == 0 ? 250 : 20);
          chat_.Say(group.id, bob && below(2) == 0 ? kBob : kAlice, "x", count);
          happened(&group, count);
          break;
        }
        case 2:
          chat_.Rename(group.id, kAlice, "t" + std::to_string(step));
          happened(&group, 1);
          break;
        case 3:
        case 4:
          if (bob) {
            happened(&group, 1);  // their own end is seen
            group.members.erase(kBob);
            if (below(2) == 0) {
              chat_.Leave(group.id, kBob);
            } else {
              chat_.Remove(group.id, kAlice, kBob);
            }
          } else {
            chat_.Add(group.id, kAlice, {kBob});
            group.members.insert(kBob);
            happened(&group, 1);
            for (int64_t seq = 1; group.open && seq < group.last; ++seq) group.visible.insert(seq);
          }
          break;
        case 5:
          if (group.members.count(kCarol) > 0) {
            chat_.Leave(group.id, kCarol);
            group.members.erase(kCarol);
          } else {
            chat_.Return(group.id, kCarol);
            group.members.insert(kCarol);
          }
          happened(&group, 1);
          break;
      }
    }
    std::vector<std::pair<int64_t, int64_t>> have;
    std::set<int64_t> listed;
    for (Group& group : groups) {
      if (below(8) == 0) {  // a device that lost its memory
        group.had.clear();
        group.newest_had = 0;
      } else {
        have.emplace_back(group.id, group.newest_had);
        listed.insert(group.id);
      }
    }
    const Resumed resumed = Resume(2, Have(have));
    for (Group& group : groups) {
      SCOPED_TRACE("round " + std::to_string(round) + " group " + std::to_string(group.id));
      std::set<int64_t> entries, left_out;
      for (const v1::Event& event : resumed.events) {
        if (ConversationOf(event) != group.id) continue;
        if (event.has_entry()) {
          EXPECT_TRUE(entries.insert(event.entry().seq()).second);
        } else if (event.has_gap()) {
          for (int64_t seq = event.gap().from_seq(); seq <= event.gap().to_seq(); ++seq) {
            EXPECT_TRUE(left_out.insert(seq).second);
          }
        }
      }
      std::set<int64_t> lacked;
      for (const int64_t seq : group.visible) {
        if (seq > group.newest_had) lacked.insert(seq);
      }
      std::set<int64_t> sent = entries;
      sent.insert(left_out.begin(), left_out.end());
      EXPECT_EQ(sent, lacked);
      EXPECT_EQ(sent.size(), entries.size() + left_out.size());
      const size_t most = listed.count(group.id) > 0 ? 200 : 50;
      EXPECT_EQ(entries.size(), lacked.size() > most ? 50 : lacked.size());
      if (!entries.empty() && !left_out.empty()) {
        EXPECT_LT(*left_out.rbegin(), *entries.begin());
      }
      group.had.insert(sent.begin(), sent.end());
      group.newest_had = *group.visible.rbegin();

      // History says the same.
      const PgHistoryStore history(&chat_.pool);
      EXPECT_EQ(history.GetConversation(kBob, group.id)->last_seq, *group.visible.rbegin());
      std::vector<int64_t> seqs;
      EntriesQuery query{.forward = true, .limit = 1 + below(200)};
      while (true) {
        const auto page = history.ListEntries(kBob, group.id, query);
        ASSERT_TRUE(page.ok());
        for (const Entry& entry : page->entries) seqs.push_back(entry.seq);
        if (!page->more) break;
        query.after = seqs.back();
      }
      EXPECT_THAT(seqs, ::testing::ElementsAreArray(group.visible));
    }
    if (HasFailure()) return;
  }
}

TEST_F(ResumePassesTest, TwoThousandConversations) {
  chat_.database.Exec(
      "SELECT chat.create_group(101, gen_random_uuid(), 0, 'g', false, '{101,102}', 11::smallint, "
      "''::bytea), chat.open_direct(101, 5000 + n) FROM generate_series(1, 1000) n");
  chat_.database.Exec(
      "INSERT INTO chat.entries (conversation_id, seq, sender_user_id, at, request_id, "
      "request_hash, kind, content, count) SELECT id, 1, 101, clock_timestamp(), "
      "gen_random_uuid(), 0, 10, ''::bytea, 1 FROM chat.conversations WHERE kind = 1");
  chat_.database.Exec(
      "UPDATE chat.conversations SET last_seq = 1, last_count = 1, last_at = clock_timestamp() "
      "WHERE kind = 1");
  std::vector<std::pair<int64_t, int64_t>> all;
  for (int64_t id = 1; id <= 2000; ++id) all.emplace_back(id, 1);
  chat_.database.Exec("ANALYZE");
  const auto timed = [&](const v1::Have& have, Resumed* resumed) {
    // The best of some: other tests may run beside this one.
    double best = 1e9;
    for (int i = 0; i < 5; ++i) {
      const auto start = std::chrono::steady_clock::now();
      *resumed = Resume(1, have);
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - start;
      best = std::min(best, took.count());
    }
    return best;
  };
  Resumed resumed;
  const double nothing = timed(Have(all), &resumed);
  EXPECT_THAT(resumed.events, IsEmpty());
  all[7].second = 0;
  const double one = timed(Have(all), &resumed);
  EXPECT_THAT(resumed.conversations, ElementsAre(all[7].first));
  const double everything = timed(Have(), &resumed);
  EXPECT_THAT(resumed.conversations, SizeIs(2000));
  EXPECT_THAT(resumed.events, SizeIs(4000));
  EXPECT_GE(resumed.page_bytes.size(), 20u);
  RecordProperty("nothing_ms", std::to_string(nothing));
  std::printf("resume of 2,000 conversations: nothing missing %.1f ms, one %.1f ms, all %.1f ms\n",
              nothing, one, everything);
  EXPECT_LT(nothing, 100);
  EXPECT_LT(one, 100);
}

// Many devices at once, and a gateway that does not read for a while: what they are sent would be
// more than the link's queue takes, which would cut the link.
TEST_F(ResumePassesTest, ManyAtOnceLeaveTheLinkUp) {
  MakePasses({.page_bytes = 2 << 20});
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kBob, std::string(16000, 'x'), 150);
  constexpr uint64_t kSessions = 60;
  for (uint64_t session = 1; session <= kSessions; ++session) {
    if (session > 2) gateway_->Open(session, kAlice);
  }
  gateway_->Hold(true);
  for (uint64_t session = 1; session <= kSessions; ++session) {
    gateway_->Have(session, Have({{group, 1}}));
  }
  // Until all have begun, and the first was given up since the link stays full.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  bool begun = false;
  while (!(begun && passes_->size() < kSessions)) {
    begun = begun || passes_->size() == kSessions;
    ASSERT_FALSE(links_.server.Links().empty()) << "the link was cut";
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
  gateway_->Hold(false);
  uint64_t ended = 0;
  std::map<uint64_t, int> entries;
  while (ended < kSessions) {
    const auto item = gateway_->Next();
    ASSERT_TRUE(item.has_value()) << "the link was cut";
    if (item->has_delivery()) {
      v1::Event event;
      ASSERT_TRUE(event.ParseFromString(item->delivery().event()));
      if (event.has_entry()) ++entries[item->delivery().session()];
    } else if (item->has_resume_page_end()) {
      gateway_->More(item->resume_page_end().session());
    } else {
      ++ended;
      const internal::v1::ResumeEnd& end = item->resume_end();
      if (end.has_failure()) {
        EXPECT_EQ(end.failure().reason(), "OVERLOADED");
      } else {
        EXPECT_EQ(entries[end.session()], 150);
      }
    }
  }
  EXPECT_EQ(links_.server.Links().size(), 1u);
}

TEST_F(ResumePassesTest, ANewHaveReplacesAPass) {
  MakePasses({.page_conversations = 1});
  const int64_t first = chat_.Group(kAlice, {kBob});
  const int64_t second = chat_.Group(kAlice, {kBob});
  gateway_->Have(1, Have());
  EXPECT_TRUE(gateway_->Next()->has_delivery());
  EXPECT_TRUE(gateway_->Next()->has_delivery());
  EXPECT_TRUE(gateway_->Next()->has_resume_page_end());
  EXPECT_EQ(passes_->size(), 1u);
  const Resumed resumed = Resume(1, Have({{second, 0}, {first, 1}}));
  EXPECT_THAT(resumed.conversations, ElementsAre(second));
  EXPECT_EQ(passes_->size(), 0u);
  gateway_->More(1);  // of a pass that is over
  EXPECT_THAT(Resume(1, Have({{second, 1}, {first, 1}})).events, IsEmpty());
}

TEST_F(ResumePassesTest, APassEndsWithItsSessionAndItsLink) {
  MakePasses({.page_conversations = 1});
  for (int i = 0; i < 3; ++i) chat_.Group(kAlice, {kBob});
  for (const uint64_t session : {1, 2}) {
    gateway_->Have(session, Have());
    while (!gateway_->Next()->has_resume_page_end()) {
    }
  }
  EXPECT_EQ(passes_->size(), 2u);
  internal::v1::GatewayItem close;
  close.mutable_close()->set_session(1);
  gateway_->Send(close);
  gateway_->Open(3, kCarol);  // its answer comes when the close is done
  EXPECT_EQ(passes_->size(), 1u);
  gateway_->Stop();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (passes_->size() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(passes_->size(), 0u);
}

TEST_F(ResumePassesTest, FailuresAreSaid) {
  chat_.Group(kAlice, {kBob});
  chat_.database.Exec("ALTER TABLE chat.entries RENAME TO away");
  EXPECT_EQ(Resume(1, Have()).end.failure().reason(), "INTERNAL");
  chat_.database.Exec("ALTER TABLE chat.away RENAME TO entries");
  EXPECT_FALSE(Resume(1, Have()).end.has_failure());
  epoch_ = 0;
  EXPECT_EQ(Resume(1, Have()).end.failure().reason(), "DATABASE_UNAVAILABLE");
  epoch_ = kEpoch;
  MakePasses({.total_pending = 1});
  EXPECT_EQ(Resume(1, Have()).end.failure().reason(), "OVERLOADED");
  EXPECT_EQ(Resume(1, Have({{1, 1}, {2, 1}})).end.failure().reason(), "OVERLOADED");
  EXPECT_EQ(passes_->size(), 0u);
  EXPECT_FALSE(Resume(2, Have({})).end.failure().reason().empty());
}

}  // namespace
}  // namespace im::chat
